"""What a change of policy would do, found out by doing it and taking it back.

The change runs through its real service, so whatever it is, what is told is what
would happen. Rules this module keeps:

* Nothing of it stays: no row, no event, no notice to a gateway. A refusal stays a
  refusal: it is raised, and its event is kept when the change was asked for.
* What is only tried is compiled after everything was taken back, so that no gateway's
  publishing waits for it.
* `carry_out` keeps a change only if what it did, judged in its own transaction, is what
  was confirmed. Nothing that happens in between goes unnoticed.
* A gateway whose policy does not compile, before or after, is named and left out; as
  nobody can say what is lost there, the brake holds.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from django.conf import settings
from django.db import transaction

from audit.events import EventCode, Outcome
from audit.models import Connection, Verdict
from audit.services import Json, record
from peers.errors import PeerError
from peers.selectors import enrolled_gateways
from policies.brake import are_conditional, at_any_time, braking
from policies.compiler.compile import compile_snapshot
from policies.compiler.errors import CompilerError
from policies.compiler.evaluate import Packet, device_parts, verdict
from policies.compiler.locks import without_locked
from policies.compiler.types import NEVER, Snapshot, address
from policies.effects import Effect, effect
from policies.errors import PolicyError
from policies.facts import Rows, grant_of, load_rows
from policies.models import Application
from policies.prefixes import Prefixes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from audit.actor import Actor
    from peers.models import Gateway
    from policies.compiler.types import Facts, Resolved

SEPARATORS: Final = (",", ":")
REFUSALS: Final = (PolicyError, PeerError)

Result = TypeVar("Result")
Snapshots: TypeAlias = "Mapping[int, Snapshot]"
"""What each gateway enforces, by its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a change would do: to people, and to the connections they have open.

    `devices` are those that lose something at a gateway, and `gaining` those that gain,
    by id: their owners may have it on another, or by another gateway. `applications`
    are the names by id, also of what the change would make. `broken` are the gateways
    whose policy does not compile, with the reason. `ever` is the effect if every grant
    were in force, whatever it demands; for the brake alone.
    """

    effect: Effect
    ever: Effect
    devices: frozenset[int]
    gaining: frozenset[int]
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
                [*row.parts],
                [*row.people],
            ]
            for row in self.effect.rows
        ]
        devices = [sorted(self.devices), sorted(self.gaining)]
        brake = [self.is_braked, sorted(self.ever.losers)]
        said = [sorted(rows), devices, [*self.broken], brake]
        text = json.dumps(said, separators=SEPARATORS)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def is_braked(self) -> bool:
        """Whether it is confirmed twice: many lose something, or nobody can say."""
        return bool(self.broken) or self.braking is not None

    @property
    def braking(self) -> Effect | None:
        """The effect that is confirmed twice because of its size, if any."""
        percent = settings.PEERAGE_POLICY_BRAKE_PERCENT
        return braking(self.effect, self.ever, percent=percent)


class UnconfirmedError(PolicyError):
    """A change is taken back: what it did is not what was confirmed, or not twice."""

    def __init__(self, found: Outlook, *, is_stale: bool) -> None:
        """Keep what it would do now; `is_stale` if that is not what was confirmed."""
        large = found.braking or found.effect
        losing, holding = len(large.losers), len(large.holders)
        super().__init__(
            "something else changed meanwhile, and so did what this would do"
            if is_stale
            else f"{losing} of {holding} people with access would lose something, more"
            f" than {settings.PEERAGE_POLICY_BRAKE_PERCENT} %; that was not confirmed"
        )
        self.outlook = found
        self.is_stale = is_stale


def outlook(
    change: Callable[[], object], *, is_asked: bool = True, now: datetime
) -> Outlook:
    """Return what a change would do to people and their connections now.

    Unless it `is_asked` for, a refusal leaves no event: somebody only looked.

    Raises:
        PolicyError, PeerError: the service refuses the change.
    """
    refusal: Exception | None = None
    with transaction.atomic():
        before = _read()
        try:
            change()
        except REFUSALS as exc:
            # A service undoes what it refuses, except for the event that says so.
            refusal = exc
            transaction.set_rollback(not is_asked)
        else:
            after = _read()
            transaction.set_rollback(True)
    if refusal is not None:
        raise refusal
    return _outlook(before, after, now=now)


def carry_out(
    change: Callable[[], Result],
    *,
    title: str,
    digest: str | None,
    is_confirmed: bool,
    actor: Actor,
    now: datetime,
) -> Result:
    """Make a change whose outlook was shown; `digest` says which one that was.

    A program that looked at none has no digest, and is held by the brake alone.
    Above the brake it `is_confirmed` that many people lose something, and `title` is
    what the log calls the change then.

    Raises:
        UnconfirmedError: it was not, or the outlook is another one. Nothing changes.
        PolicyError, PeerError: the service refuses the change.
    """
    with transaction.atomic():
        before = _read()
        try:
            made = change()
        except REFUSALS as exc:
            refusal: Exception = exc
        else:
            found = _outlook(before, _read(), now=now)
            is_stale = digest not in {None, found.digest}
            if not is_stale and (is_confirmed or not found.is_braked):
                if found.is_braked:
                    _record(found, title, Outcome.DONE, actor, now)
                return made
            transaction.set_rollback(True)
            refusal = UnconfirmedError(found, is_stale=is_stale)
    if isinstance(refusal, UnconfirmedError) and not refusal.is_stale:
        _record(refusal.outlook, title, Outcome.REFUSED, actor, now)
    raise refusal


def connections_cut(
    had: Snapshots, have: Snapshots, *, now: datetime
) -> tuple[frozenset[int], tuple[Connection, ...]]:
    """Return the devices that lose something, and their open connections that end.

    Judged as a gateway judges flows: by the first packet. One that the first policy
    would not let begin is no loss. Who moved the most bytes comes first, then the
    oldest; bytes are rarely known before a connection has ended. What a host name
    stands for only the gateway knows: it is taken to stand for where one goes.
    """
    losing: set[int] = set()
    cut: list[Connection] = []
    for number, before in had.items():
        after = have.get(number)
        if after == before:
            continue
        devices = _losing(before, after)
        losing |= devices
        cut += _cut(before, after, _opened(number, devices), now)
    cut.sort(key=lambda row: (-_bytes(row), row.started_at, row.pk))
    return frozenset(losing), tuple(cut)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The policy as it is stored at one moment."""

    gateways: Sequence[Gateway]
    rows: Rows
    applications: Mapping[int, str]


def _read() -> _Read:
    gateways = [*enrolled_gateways()]
    return _Read(
        gateways=gateways,
        rows=load_rows(gateways),
        applications=dict(Application.objects.values_list("pk", "name")),
    )


def _outlook(before: _Read, after: _Read, *, now: datetime) -> Outlook:
    broken: dict[str, str] = {}
    had = _compiled(before, broken, now)
    have = _compiled(after, broken, now)
    grants = [row for r in (before, after) for g in r.rows.grants.values() for row in g]
    ever = partial(at_any_time, now=now)
    # Without conditions both are the same, and the one costs no less than the other.
    has_more = are_conditional(map(grant_of, grants), now=now)
    had_ever = _compiled(before, broken, now, seen=ever) if has_more else had
    have_ever = _compiled(after, broken, now, seen=ever) if has_more else have
    unknown = {
        gateway.pk
        for read in (before, after)
        for gateway in read.gateways
        if gateway.name in broken
    }
    had, have, had_ever, have_ever = (
        {number: found for number, found in some.items() if number not in unknown}
        for some in (had, have, had_ever, have_ever)
    )
    devices, cut = connections_cut(had, have, now=now)
    owners = _owners(before.rows) | _owners(after.rows)
    compared = partial(effect, owners=owners)
    return Outlook(
        effect=compared([*had.values()], [*have.values()]),
        ever=compared([*had_ever.values()], [*have_ever.values()]),
        devices=devices,
        gaining=_gaining(had, have),
        cut=cut,
        applications={**before.applications, **after.applications},
        broken=tuple(sorted(broken.items())),
    )


def _compiled(
    read: _Read,
    broken: dict[str, str],
    now: datetime,
    *,
    seen: Callable[[Facts], Facts] = lambda facts: facts,
) -> Snapshots:
    """Return what each gateway would enforce; add those that do not compile.

    `seen` may change what is compiled.
    """
    found: dict[int, Snapshot] = {}
    for gateway in read.gateways:
        try:
            facts = without_locked(read.rows.facts(gateway), read.rows.locks, now=now)
            found[gateway.pk] = compile_snapshot(
                seen(facts), epoch=1, generation=1, now=now
            )
        except CompilerError as exc:
            broken[gateway.name] = str(exc)
    return found


def _owners(rows: Rows) -> dict[int, int]:
    """Return whose each device is."""
    return {device.id: user for user, owned in rows.devices.items() for device in owned}


def _gaining(had: Snapshots, have: Snapshots) -> frozenset[int]:
    """Return the devices that reach more through a gateway."""
    return frozenset[int]().union(
        *(
            _losing(after, had.get(number))
            for number, after in have.items()
            if after != had.get(number)
        )
    )


def _losing(before: Snapshot, after: Snapshot | None) -> frozenset[int]:
    """Return the devices that reach less through one gateway."""
    sides = [before, *([after] if after else [])]
    owners = {peer.device_id: peer.device_id for s in sides for peer in s.peers}
    return effect([before], [after] if after else [], owners=owners).losers


def _cut(
    before: Snapshot, after: Snapshot | None, rows: Iterable[Connection], now: datetime
) -> Iterable[Connection]:
    """Yield open connections that the one snapshot allows and the other does not."""
    opened: defaultdict[int, list[Connection]] = defaultdict(list)
    for row in rows:
        opened[int(row.device_id.removeprefix("dv_"))].append(row)
    was = _Judge(before, opened, now=now)
    will = _Judge(after, opened, now=now) if after else None
    for device, found in opened.items():
        for row in found:
            if was.allows(device, row) and not (will and will.allows(device, row)):
                yield row


class _Judge:
    """What a snapshot says of some devices' connections."""

    def __init__(
        self, snapshot: Snapshot, devices: Iterable[int], *, now: datetime
    ) -> None:
        """Cut it into what concerns each device."""
        self._parts = device_parts(snapshot, devices)
        self._prefixes = Prefixes(snapshot.applications)
        self._now = now

    def allows(self, device: int, row: Connection) -> bool:
        """Return whether a connection of a device might begin now."""
        part, to = self._parts[device], address(row.destination)
        near = self._prefixes.around(ip_network(to))
        part = replace(
            part, applications=tuple(a for a in part.applications if a.id in near)
        )
        return _allows(part, row, now=self._now)


def _allows(part: Snapshot, row: Connection, *, now: datetime) -> bool:
    """Return whether a connection might begin now."""
    packet = Packet(
        source=address(row.source),
        destination=address(row.destination),
        protocol=row.protocol,
        port=row.destination_port,
    )
    hosts = {place.host for a in part.applications for place in a.destinations}
    resolved: Resolved = {host: {packet.destination: NEVER} for host in hosts if host}
    return verdict(part, packet, now=now, resolved=resolved).is_allowed


def _opened(gateway_id: int, devices: frozenset[int]) -> Iterable[Connection]:
    """Yield the connections that devices have open through a gateway."""
    rows = Connection.objects.filter(
        gateway_id=f"gw_{gateway_id}", verdict=Verdict.ALLOWED, ended_at__isnull=True
    )
    wanted = {f"dv_{device}" for device in devices}
    # Not in the statement: SQLite limits its parameters.
    return (row for row in rows.order_by() if row.device_id in wanted) if wanted else ()


def _bytes(row: Connection) -> int:
    return (row.bytes_up or 0) + (row.bytes_down or 0)


def _record(
    found: Outlook, title: str, outcome: Outcome, actor: Actor, now: datetime
) -> None:
    large = found.braking or found.effect
    details: dict[str, Json] = {
        "change": title,
        "people_losing": len(large.losers),
        "people_with_access": len(large.holders),
        "percent": settings.PEERAGE_POLICY_BRAKE_PERCENT,
        "connections_cut": len(found.cut),
        "effect": found.digest,
    }
    record(
        EventCode.BRAKE_CONFIRM,
        actor=actor,
        now=now,
        outcome=outcome,
        reason="" if outcome is Outcome.DONE else "it was not confirmed",
        details=details,
    )
