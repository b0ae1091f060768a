"""What a change of policy would do, found out by doing it and taking it back.

The change runs through its real service, so whatever it is, what is told is what
would happen. Rules this module keeps:

* Nothing of it stays: no row, no event, no notice to a gateway. A refusal stays a
  refusal: it is raised, and its event is kept.
* What is compiled is compiled after everything was taken back, so that no gateway's
  publishing waits for it.
* A gateway whose policy does not compile is named, and counts as it is counted when
  it is published: unchanged.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db import transaction

from audit.models import Connection, Verdict
from peers.selectors import enrolled_gateways
from policies.compiler.compile import compile_snapshot
from policies.compiler.errors import CompilerError
from policies.compiler.evaluate import Packet, device_part, verdict
from policies.compiler.locks import without_locked
from policies.compiler.types import Snapshot, address
from policies.effects import Effect, effect
from policies.errors import PolicyError
from policies.facts import Rows, load_rows
from policies.models import Application

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from peers.models import Gateway

SEPARATORS: Final = (",", ":")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a change would do: to people, and to the connections they have open.

    `devices` are those that lose something by themselves, by id: their owners may
    keep it on another. `applications` are the names by id, also of what the change
    would make. `broken` are the gateways whose policy would not compile, with the
    reason.
    """

    effect: Effect
    devices: frozenset[int]
    cut: tuple[Connection, ...]
    applications: Mapping[int, str]
    broken: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """What it says of people, in short: the same as long as that is the same.

        Ids of what a change makes differ each time it is tried; names do not. The
        connections that are open come and go, and are not part of it.
        """
        rows = [
            [
                row.kind.value,
                self.applications[row.application_id],
                [*row.destinations],
                [*row.people],
            ]
            for row in self.effect.rows
        ]
        said = [sorted(rows), sorted(self.devices), [*self.broken]]
        text = json.dumps(said, separators=SEPARATORS)
        return hashlib.sha256(text.encode()).hexdigest()


def outlook(change: Callable[[], object], *, now: datetime) -> Outlook:
    """Return what a change would do to people and their connections now.

    Raises:
        PolicyError: the service refuses the change.
    """
    gateways = list(enrolled_gateways())
    before = load_rows(gateways)
    after, applications = _tried(change, gateways)
    had, _ = _compiled(before, gateways, now)
    have, broken = _compiled(after, gateways, now)
    for number in broken:
        if number in had:
            have[number] = had[number]
    owners = _owners(before) | _owners(after)
    both = [*had.values()], [*have.values()]
    return Outlook(
        effect=effect(*both, owners=owners),
        devices=effect(*both, owners={number: number for number in owners}).losers,
        cut=tuple(_cut(had, have, now)),
        applications=applications,
        broken=tuple(
            (gateway.name, broken[gateway.pk])
            for gateway in gateways
            if gateway.pk in broken
        ),
    )


def connections_cut(
    had: Mapping[int, Snapshot], have: Mapping[int, Snapshot], *, now: datetime
) -> tuple[Connection, ...]:
    """Return the open connections that may go on by the one policy, not by the other.

    Snapshots are by gateway. The connection that carried on longest comes first.
    """
    return tuple(_cut(had, have, now))


def _tried(
    change: Callable[[], object], gateways: Sequence[Gateway]
) -> tuple[Rows, Mapping[int, str]]:
    """Return what is stored after a change, which is taken back."""
    refusal: PolicyError | None = None
    with transaction.atomic():
        try:
            change()
        except PolicyError as exc:
            # A service undoes what it refuses, except for the event that says so.
            refusal = exc
        else:
            rows = load_rows(gateways)
            applications = dict(Application.objects.values_list("pk", "name"))
            transaction.set_rollback(True)
    if refusal is not None:
        raise refusal
    return rows, applications


def _compiled(
    rows: Rows, gateways: Iterable[Gateway], now: datetime
) -> tuple[dict[int, Snapshot], dict[int, str]]:
    """Return what each gateway would enforce, or why it does not compile."""
    found: dict[int, Snapshot] = {}
    broken: dict[int, str] = {}
    for gateway in gateways:
        try:
            facts = without_locked(rows.facts(gateway), rows.locks, now=now)
            found[gateway.pk] = compile_snapshot(facts, epoch=1, generation=1, now=now)
        except CompilerError as exc:
            broken[gateway.pk] = str(exc)
    return found, broken


def _owners(rows: Rows) -> dict[int, int]:
    """Return whose each device is."""
    return {device.id: user for user, owned in rows.devices.items() for device in owned}


def _cut(
    had: Mapping[int, Snapshot], have: Mapping[int, Snapshot], now: datetime
) -> Iterable[Connection]:
    """Yield open connections that the one snapshot allows and the other does not."""
    for number, before in had.items():
        after = have.get(number)
        if after == before:
            continue
        opened: defaultdict[int, list[Connection]] = defaultdict(list)
        for row in _opened(number):
            opened[int(row.device_id.removeprefix("dv_"))].append(row)
        for device_id, rows in sorted(opened.items()):
            was = device_part(before, device_id)
            will = device_part(after, device_id) if after else None
            for row in rows:
                packet = _packet(row)
                if not verdict(was, packet, now=now).is_allowed:
                    continue
                if will is None or not verdict(will, packet, now=now).is_allowed:
                    yield row


def _opened(gateway_id: int) -> Iterable[Connection]:
    """Return the connections that a gateway has open, oldest first."""
    return Connection.objects.filter(
        gateway_id=f"gw_{gateway_id}",
        verdict=Verdict.ALLOWED,
        ended_at__isnull=True,
        device_id__startswith="dv_",
    ).order_by("started_at", "pk")


def _packet(row: Connection) -> Packet:
    """Return the first packet of a connection."""
    return Packet(
        source=address(row.source),
        destination=address(row.destination),
        protocol=row.protocol,
        port=row.destination_port,
    )
