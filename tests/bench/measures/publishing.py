"""The stages of publishing one gateway, each measured alone, then all together."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from django.conf import settings
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from audit.actor import SYSTEM
from audit.key_files import create_key_file
from gateway.deltas import whole_envelope
from peers.models import Gateway
from policies import services, signing
from policies.compiler.compile import compile_snapshot
from policies.compiler.envelope import SNAPSHOT_TYPE, open_envelope
from policies.compiler.holdings import holdings, holdings_digest
from policies.compiler.locks import next_change, without_locked
from policies.compiler.snapshot import digest, parse_snapshot, snapshot_bytes
from policies.deltas import changed_envelope
from policies.facts import load_rows
from policies.models import Grant, Snapshot
from policies.whatif import outlook
from portal.accounts.models import Membership
from tests.bench.measures.company import company, copied
from tests.bench.measures.stages import Stages
from tests.bench.measures.stored import store
from tests.policies.compiler.build import NOW


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="script/bench publish")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    users = max(chosen.devices * 2 // 3, 1)
    given = company(
        users=users,
        devices=chosen.devices,
        groups=500,
        applications=2_000,
        grants=5_000,
    )
    print(
        f"{connection.vendor}: {users:,} users, {chosen.devices:,} devices,"
        " 500 groups, 2,000 applications, 5,000 grants, one gateway"
    )
    with _database():
        gateway = store(given)
        with connection.cursor() as cursor:
            # As PostgreSQL's autovacuum does within a minute.
            cursor.execute("ANALYZE")
        stages = Stages("ms", rounds=chosen.rounds)
        stages.measure("copy: one tuple for each row", lambda: copied(given))
        _parts(stages, gateway)
        _whole(stages)
    return 0


def _parts(stages: Stages, gateway: Gateway) -> None:
    rows = stages.measure("read the rows", lambda: load_rows([gateway]))
    facts = stages.measure(
        "facts of the gateway",
        lambda: without_locked(rows.facts(gateway), rows.locks, now=NOW),
    )
    stages.measure(
        "next change by time alone", lambda: next_change(facts, rows.locks, now=NOW)
    )
    snapshot = stages.measure(
        "compile", lambda: compile_snapshot(facts, epoch=1, generation=1, now=NOW)
    )
    payload = stages.measure("canonical bytes", lambda: snapshot_bytes(snapshot))
    stages.measure("digest of the bytes", lambda: digest(payload))
    stages.measure("sign", lambda: signing.sign(SNAPSHOT_TYPE, payload))
    stages.measure(
        "digest of holdings", lambda: holdings_digest(holdings(snapshot, "wg0"))
    )
    stages.measure("read back (gateway)", lambda: parse_snapshot(payload))


def _whole(stages: Stages) -> None:
    seconds = count(1)

    def publish() -> list[Snapshot]:
        return services.publish_snapshots(
            gateway_ids=None,
            cause="benchmark",
            actor=SYSTEM,
            now=NOW + timedelta(seconds=next(seconds)),
        )

    publish()
    stages.measure("publish: nothing has changed", publish)
    before = Snapshot.objects.order_by("-pk")[0]

    def change() -> None:
        # The oldest membership of all is nobody's any more.
        Membership.objects.filter(pk=Membership.objects.earliest("pk").pk).delete()
        if not publish():
            msg = "a membership less, and nothing was published"
            raise RuntimeError(msg)

    stages.measure("publish: one membership less", change)
    _sent(stages, before, Snapshot.objects.order_by("-pk")[0])
    grant = Grant.objects.filter(group__isnull=False).earliest("pk")
    moment = NOW + timedelta(days=1)
    end = partial(services.end_grant, grant=grant, actor=SYSTEM, now=moment)
    found = stages.measure("what-if: one grant ended", lambda: outlook(end, now=moment))
    if not found.effect.rows:
        msg = "a grant to a group ends, and nobody would lose anything"
        raise RuntimeError(msg)


def _sent(stages: Stages, before: Snapshot, after: Snapshot) -> None:
    """What travels to a gateway: whole, and as a delta over all the rounds."""
    changed = stages.measure(
        "delta: make (portal)",
        lambda: changed_envelope(before.envelope, after.envelope),
    )
    if changed is None:
        msg = "some memberships less are not worth a delta"
        raise RuntimeError(msg)
    held = before.envelope.encode()
    stages.measure("delta: rebuild (gateway)", lambda: whole_envelope(held, changed))
    stages.measure(
        "whole: open (gateway)", lambda: open_envelope(after.envelope.encode())
    )
    print(
        f"sent: {len(after.envelope):,} bytes whole, {len(changed):,} as a delta over"
        f" {after.generation - before.generation} generations"
    )


@contextlib.contextmanager
def _database() -> Iterator[None]:
    made = setup_databases(verbosity=0, interactive=False)
    try:
        with TemporaryDirectory() as folder:
            settings.PEERAGE_SIGNING_KEY_FILE = f"{folder}/signing.key"
            create_key_file(Path(settings.PEERAGE_SIGNING_KEY_FILE))
            yield
    finally:
        teardown_databases(made, verbosity=0)


if __name__ == "__main__":
    sys.exit(main())
