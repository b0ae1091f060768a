"""The rounds of `script/bench longpoll`: change something, and see whom it reaches."""

from __future__ import annotations

import argparse
import base64
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.conf import settings
from django.core.management.color import no_style
from django.db import connection
from django.db.models import Q
from django.test import Client

from audit.actor import SYSTEM
from audit.events import EventCode
from audit.models import AuditEvent
from peers.models import AddressPool, Gateway, GatewayState
from policies import services
from policies.models import Application, Grant, Publication
from policies.notices import latest_number
from portal import revocation
from portal.accounts.models import Role, User
from tests.bench.measures.company import company
from tests.bench.measures.stored import store
from tests.lab.crowd import Crowd, Member
from tests.lab.lone import LonePortal, RunningCrowd
from tests.lab.processes import Processes, wait_until
from tests.lab.redis import LOOPBACK, RedisServer

TARGET_MS: Final = 300
EVERYWHERE: Final = 1
"""The application that every gateway serves."""
KNOWN_EVERYWHERE: Final = 20
"""People who reach it: one of them is locked, or revoked, in a round."""

Change = Callable[[], object]


class Changes:
    """What is changed in a round: from here, or by the portal's API in its own."""

    def __init__(self, portal: LonePortal | None) -> None:
        """With a portal, ask it by HTTP as an administrator."""
        self._http = None if portal is None else _browser(portal)

    def close(self) -> None:
        """Forget the administrator."""
        if self._http is not None:
            self._http.close()

    def everywhere(self) -> Change:
        """Lock a person whom every gateway knows."""
        return self._lock(f"us_{next(_people)}")

    def at_one(self) -> Change:
        """Lock one gateway."""
        return self._lock(f"gw_{next(_gateways)}")

    def revocation(self) -> Change:
        """Revoke a person whom every gateway knows."""
        number = next(_people)
        if self._http is not None:
            return self._post(f"/api/v1/users/{number}/revoke/", {"reason": "bench"})
        now = _now()
        return lambda: revocation.revoke_user(
            user=User.objects.get(pk=number),
            reason="bench",
            actor=SYSTEM,
            requested_at=now,
            now=now,
        )

    def _lock(self, target: str) -> Change:
        if self._http is not None:
            document = {"target": target, "message": "bench", "confirm": True}
            return self._post("/api/v1/locks/", document)
        kind, number = target.split("_")
        rows = User.objects.all() if kind == "us" else Gateway.objects.all()
        row = rows.get(pk=int(number))
        return lambda: services.create_lock(
            target=row, message="bench", expires_at=None, actor=SYSTEM, now=_now()
        )

    def _post(self, path: str, document: dict[str, object]) -> Change:
        http = self._http
        assert http is not None

        def post() -> None:
            http.post(path, json=document).raise_for_status()

        return post


_people = count(1)
_gateways = count(1)


def main(folder: Path, processes: Processes) -> int:
    """Measure and print; return the exit status."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(prog="script/bench longpoll")
    parser.add_argument("--gateways", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("process", "redis", "database"))
    chosen = parser.parse_args()
    members = _populate(chosen.gateways)
    print(
        f"{chosen.gateways} gateways, one portal process, PostgreSQL; load"
        f" {os.getloadavg()[0]:.1f}\nmilliseconds from the commit to the last byte at"
        f" the gateway; target: 99 % within {TARGET_MS}\n"
        f"{'':44}{'told':>6}{'KiB':>6}{'median':>8}{'90 %':>8}{'99 %':>8}{'worst':>8}"
        f"{'order, s':>10}"
    )
    redis = RedisServer(folder)
    redis.start()
    with closing(connection):
        for name, url, is_inside in (
            ("process", "", True),
            ("redis", redis.url, False),
            ("database", "", False),
        ):
            if chosen.only in {None, name}:
                with _waiting(processes, members, url) as (portal, crowd):
                    _rounds(name, portal if is_inside else None, crowd, chosen.rounds)
                    now, most = portal.memory()
                    print(f"  portal: {now:.0f} MiB, at most {most:.0f} MiB")
    redis.kill()
    return 0


@contextmanager
def _waiting(
    processes: Processes, members: tuple[Member, ...], redis: str
) -> Iterator[tuple[LonePortal, RunningCrowd]]:
    portal = LonePortal(processes, os.environ)
    settings.PEERAGE_REDIS_URL = redis
    portal.start(changed={"PEERAGE_REDIS_URL": redis})
    before = portal.memory()[0]
    crowd = RunningCrowd(
        processes,
        Crowd(
            host=LOOPBACK,
            port=portal.port,
            members=members,
            sequence=int(time.time()),
        ),
    )
    crowd.settle(240)
    print(
        f"  portal: {before:.0f} MiB alone, {portal.memory()[0]:.0f} MiB with"
        f" {len(members)} waiting"
    )
    yield portal, crowd
    print(f"  trouble: {crowd.standing['troubles'] or 'none'}")
    crowd.stop()
    portal.stop()


def _rounds(
    name: str, portal: LonePortal | None, crowd: RunningCrowd, rounds: int
) -> None:
    with closing(Changes(portal)) as changes:
        for what, make, told in (
            ("one change for all", changes.everywhere, "gateway"),
            ("one revocation", changes.revocation, "notified"),
            ("one change for one gateway", changes.at_one, "gateway"),
        ):
            found = [_round(make(), crowd, told) for _ in range(rounds)]
            times = [ms for times, _, _ in found for ms in times]
            sizes = [size for _, sizes, _ in found for size in sizes]
            answered = statistics.median(seconds for _, _, seconds in found)
            print(
                f"{name + ': ' + what:44}{len(times) // rounds:6}"
                f"{statistics.mean(sizes) / 1024:6.0f}{_figures(times)}"
                f"{answered:10.1f}",
                flush=True,
            )


def _round(
    change: Change, crowd: RunningCrowd, what: str
) -> tuple[list[float], list[int], float]:
    """Return milliseconds and bytes by gateway, and the seconds that the order took."""
    _published()
    crowd.settle()
    last = AuditEvent.objects.latest("pk").pk
    began = time.monotonic()
    change()
    seconds = time.monotonic() - began
    _published()
    committed = _committed_since(last, crowd, what)
    first = min(committed.values())
    wait_until(
        lambda: committed.keys() <= crowd.since(first, what=what).keys(),
        what=f"{len(committed)} gateways that hear of it",
        seconds=60,
    )
    found = crowd.since(first, what=what)
    return (
        [(found[pk]["arrived_ns"] - ns) / 1e6 for pk, ns in committed.items()],
        [found[pk]["bytes"] for pk in committed],
        seconds,
    )


def _published() -> None:
    """Wait until every change has been published, those of revocations too."""

    def is_due() -> bool:
        late = Q(stale_since__isnull=False) | Q(notices__lt=latest_number())
        return Publication.objects.filter(late).exists()

    wait_until(lambda: not is_due(), what="every publication", seconds=300)


def _committed_since(event: int, crowd: RunningCrowd, what: str) -> dict[int, int]:
    """Return when what gateways are told of was committed (ns), by gateway."""
    is_notice = what == "notified"
    code = EventCode.REVOCATION_REQUEST if is_notice else EventCode.POLICY_PUBLISHED
    with connection.cursor() as cursor:
        # A row of the log is never written again: its transaction is the change's.
        cursor.execute(
            "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000,"
            " gateway_id FROM audit_auditevent WHERE id > %s AND code = %s",
            [event, code.value],
        )
        rows = [(gateway, int(moment) * 1000) for moment, gateway in cursor.fetchall()]
    if is_notice:
        [(_, moment)] = rows
        return {member.id: moment for member in crowd.members}
    return {int(gateway.removeprefix("gw_")): moment for gateway, moment in rows}


def _populate(gateways: int) -> tuple[Member, ...]:
    given = company(users=300, devices=450, groups=30, applications=500, grants=600)
    AddressPool.objects.all().delete()
    store(given).delete()
    _count_on()
    applications = list(Application.objects.order_by("pk"))
    members = []
    for number in range(1, gateways + 1):
        signing = Ed25519PrivateKey.generate()
        gateway = Gateway.objects.create(
            pk=number,
            name=f"gw{number}",
            endpoint_host="gw.example.com",
            state=GatewayState.ENROLLED,
            public_key=base64.b64encode(
                X25519PrivateKey.generate().public_key().public_bytes_raw()
            ).decode(),
            signing_key=signing.public_key().public_bytes_raw(),
            created_at=_now(),
            enrolled_at=_now(),
        )
        served = {number * step % len(applications) for step in (1, 7, 31)}
        gateway.applications.set(
            [applications[EVERYWHERE - 1], *(applications[n] for n in served)]
        )
        seed = base64.b64encode(signing.private_bytes_raw()).decode()
        members.append(Member(id=number, seed=seed))
    Grant.objects.bulk_create(
        Grant(
            user_id=number,
            application_id=EVERYWHERE,
            not_before=_now() - timedelta(days=1),
            created_at=_now(),
        )
        for number in range(1, KNOWN_EVERYWHERE + 1)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    services.publish_snapshots(
        gateway_ids=None, cause="benchmark", actor=SYSTEM, now=_now()
    )
    return tuple(members)


def _count_on() -> None:
    """Let the database go on counting where `store` stopped."""
    models = (User, Grant, Application)
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)


def _browser(portal: LonePortal) -> httpx.Client:
    dave = User.objects.create(
        issuer="https://idp.example.com",
        subject="dave",
        username="dave",
        role=Role.ADMINISTRATOR,
        created_at=_now(),
        password="!",
    )
    client = Client()
    client.force_login(dave)
    session = client.session
    session["sso"] = {"auth_time": int(time.time()), "amr": ["pwd"]}
    session.save()
    http = httpx.Client(base_url=portal.url, timeout=600, trust_env=False)
    http.cookies.set(settings.SESSION_COOKIE_NAME, client.session.session_key or "")
    token = http.get("/").cookies.get(settings.CSRF_COOKIE_NAME, "")
    if not token:
        token = "a" * 32
        http.cookies.set(settings.CSRF_COOKIE_NAME, token)
    http.headers.update({"X-CSRFToken": token, "Referer": portal.url})
    return http


def _figures(values: Sequence[float]) -> str:
    ordered = sorted(values)
    parts = [ordered[min(len(ordered) - 1, int(p * len(ordered)))] for p in (0.9, 0.99)]
    middle = statistics.median(ordered)
    return "".join(f"{ms:8.0f}" for ms in (middle, *parts, ordered[-1]))


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- a benchmark's edge


if __name__ == "__main__":
    sys.exit(main(globals()["FOLDER"], globals()["PROCESSES"]))
