"""Who can reach an application, what a person can reach, and what changed. Not a gate.

For now the tables answer, for the past the snapshots that gateways had in force, with
the names that the log had recorded by then. The number of queries does not grow with
the rows, except for the names of the past, which are read 400 at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from django.db.models import Q

from peers.models import Device, DeviceState
from peers.selectors import enrolled_gateways
from policies.compiler import reach
from policies.compiler.types import NEVER
from policies.history import Standing, contents, names_at, standings_at
from policies.locked import live_locks, locked_applications, locked_people
from policies.models import Application, Grant
from policies.selectors import my_access
from policies.wording import destination_text
from portal.accounts.models import Membership, User

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from policies.compiler.reach import Way
    from policies.compiler.types import Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachRow:
    """One person and one application: from which devices, by which grants.

    Without a device there is no connection yet. `expires_at` None is no end.
    """

    person_id: int
    person: str
    application_id: int
    application: str
    devices: tuple[str, ...]
    grants: tuple[str, ...]
    gateways: tuple[str, ...]
    expires_at: datetime | None


class ChangeKind(StrEnum):
    """What became of a person's access, or of an application's destination."""

    GAINED = "gained"
    LOST = "lost"
    OPENED = "opened"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """One difference between two moments: a person or a destination."""

    kind: ChangeKind
    application_id: int
    application: str
    person_id: int | None
    person: str
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Rows by name; `notes` says which gateway's answer is to be read with care.

    `sources` names the generations that answered; none did where the tables did.
    """

    rows: tuple[ReachRow, ...]
    notes: tuple[str, ...]
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Rows by application and name; `notes` and `sources` as in `Reach`."""

    rows: tuple[ChangeRow, ...]
    notes: tuple[str, ...]
    sources: tuple[str, ...]


def who_reaches(application: Application, at: datetime, *, now: datetime) -> Reach:
    """Return everybody who can reach an application, by name."""
    if at < now:
        standings = standings_at(at)
        ways = reach.ways_to(contents(standings), application.pk, at=at)
        return Reach(
            rows=_rows_of_ways(ways, at),
            notes=_notes(standings),
            sources=_sources(standings),
        )
    return Reach(rows=_rows_of_grants(application, at), notes=())


def what_reaches(person: User, at: datetime, *, now: datetime) -> Reach:
    """Return everything that a person can reach, by name."""
    if at < now:
        standings = standings_at(at)
        devices = set(Device.objects.filter(owner=person).values_list("pk", flat=True))
        ways = reach.ways_of(contents(standings), devices, at=at)
        return Reach(
            rows=_rows_of_ways(ways, at),
            notes=_notes(standings),
            sources=_sources(standings),
        )
    names = tuple(
        _open_devices(at)
        .filter(owner=person)
        .order_by("name")
        .values_list("name", flat=True)
    )
    rows = tuple(
        ReachRow(
            person_id=person.pk,
            person=str(person),
            application_id=entry.application.pk,
            application=entry.application.name,
            devices=names,
            grants=tuple(map(str, entry.grants)),
            gateways=tuple(map(str, entry.gateways)),
            expires_at=entry.expires_at,
        )
        for entry in my_access(person, at)
    )
    return Reach(rows=rows, notes=())


def who_could_reach(at: datetime) -> Reach:
    """Return everybody and everything they could reach, by name, from snapshots."""
    standings = standings_at(at)
    devices = set(Device.objects.values_list("pk", flat=True))
    ways = reach.ways_of(contents(standings), devices, at=at)
    return Reach(
        rows=_rows_of_ways(ways, at),
        notes=_notes(standings),
        sources=_sources(standings),
    )


def what_changed(since: datetime, until: datetime) -> Changes:
    """Return whose access, and which destinations, differ between two moments."""
    before, after = standings_at(since), standings_at(until)
    found = reach.changes(
        contents(before),
        contents(after),
        owners=dict(Device.objects.order_by().values_list("pk", "owner_id")),
        since=since,
        until=until,
    )
    people = names_at(
        "person", (pk for part in found for pk in (*part.gained, *part.lost)), until
    )
    applications = names_at("application", (p.application_id for p in found), until)
    rows = [
        row
        for part in sorted(
            found, key=lambda p: (applications[p.application_id], p.application_id)
        )
        for row in _change_rows(part, applications[part.application_id], people)
    ]
    notes = dict.fromkeys((*_notes(before), *_notes(after)))
    return Changes(
        rows=tuple(rows),
        notes=tuple(notes),
        sources=tuple(dict.fromkeys((*_sources(before), *_sources(after)))),
    )


def _rows_of_ways(ways: Iterable[Way], at: datetime) -> tuple[ReachRow, ...]:
    """Join the ways of a person's devices, under the names of then."""
    found = list(ways)
    # All of them: SQLite limits the parameters of a statement.
    owners = dict(Device.objects.order_by().values_list("pk", "owner_id"))
    by_person: defaultdict[tuple[int, int], list[Way]] = defaultdict(list)
    for way in found:
        # A device is never deleted (DESIGN §2), so its owner is known.
        by_person[owners[way.device_id], way.application_id].append(way)
    people = names_at("person", (person for person, _ in by_person), at)
    applications = names_at("application", (number for _, number in by_person), at)
    devices = names_at("device", (way.device_id for way in found), at)
    grants = names_at("grant", (pk for way in found for pk in way.grants), at)
    gateways = names_at("gateway", (pk for way in found for pk in way.gateways), at)
    rows = [
        ReachRow(
            person_id=person,
            person=people[person],
            application_id=number,
            application=applications[number],
            devices=tuple(sorted(devices[way.device_id] for way in parts)),
            grants=_named(grants, (pk for way in parts for pk in way.grants)),
            gateways=_named(gateways, (pk for way in parts for pk in way.gateways)),
            expires_at=_end(max(way.expires_at for way in parts)),
        )
        for (person, number), parts in by_person.items()
    ]
    return tuple(sorted(rows, key=_order))


def _rows_of_grants(application: Application, at: datetime) -> tuple[ReachRow, ...]:
    """Return who holds a grant in force, as the tables say now."""
    live = (
        Grant.objects.filter(
            application=application, ended_at__isnull=True, not_before__lte=at
        )
        .exclude(application__in=locked_applications(at))
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=at))
        .order_by("pk")
    )
    members = Membership.objects.filter(group__in=live.order_by().values("group"))
    people = User.objects.filter(
        Q(pk__in=live.order_by().filter(user__isnull=False).values("user"))
        | Q(pk__in=members.values("user")),
        is_active=True,
    ).exclude(pk__in=locked_people(at))
    holders: defaultdict[int, list[Grant]] = defaultdict(list)
    in_group: defaultdict[int, list[int]] = defaultdict(list)
    for group_id, user_id in members.values_list("group_id", "user_id"):
        in_group[group_id].append(user_id)
    for grant in live.select_related("user", "group", "application"):
        for user_id in in_group[grant.group_id or 0] or [grant.user_id or 0]:
            holders[user_id].append(grant)
    devices: defaultdict[int, list[str]] = defaultdict(list)
    for owner_id, name in (
        _open_devices(at)
        .filter(owner__in=people.order_by())
        .order_by("name")
        .values_list("owner_id", "name")
    ):
        devices[owner_id].append(name)
    closed = live_locks(at).order_by().filter(gateway__isnull=False).values("gateway")
    gateways = enrolled_gateways().filter(applications=application)
    gateways = gateways.exclude(pk__in=closed)
    served = tuple(gateways.values_list("name", flat=True))
    return tuple(
        ReachRow(
            person_id=person.pk,
            person=str(person),
            application_id=application.pk,
            application=application.name,
            devices=tuple(devices[person.pk]),
            grants=tuple(map(str, holders[person.pk])),
            gateways=served,
            expires_at=_last(holders[person.pk]),
        )
        for person in people
    )


def _open_devices(at: datetime) -> QuerySet[Device]:
    """Return the devices that connect: neither revoked nor locked."""
    locked = live_locks(at).order_by().filter(device__isnull=False).values("device")
    return Device.objects.filter(state=DeviceState.ACTIVE).exclude(pk__in=locked)


def _change_rows(
    part: reach.Change, application: str, people: Mapping[int, str]
) -> Iterable[ChangeRow]:
    def of_person(kind: ChangeKind, pk: int) -> ChangeRow:
        return ChangeRow(
            kind=kind,
            application_id=part.application_id,
            application=application,
            person_id=pk,
            person=people[pk],
            destination="",
        )

    def of_destination(kind: ChangeKind, found: Destination) -> ChangeRow:
        return ChangeRow(
            kind=kind,
            application_id=part.application_id,
            application=application,
            person_id=None,
            person="",
            destination=destination_text(found),
        )

    yield from (of_destination(ChangeKind.OPENED, d) for d in part.opened)
    yield from (of_destination(ChangeKind.CLOSED, d) for d in part.closed)
    for kind, numbers in (
        (ChangeKind.GAINED, part.gained),
        (ChangeKind.LOST, part.lost),
    ):
        for pk in sorted(numbers, key=lambda pk: (people[pk].casefold(), pk)):
            yield of_person(kind, pk)


def _notes(standings: Iterable[Standing]) -> tuple[str, ...]:
    """Say which gateways' snapshots are not known to have been in force."""
    notes = []
    for found in standings:
        number = f"{found.position.epoch}.{found.position.generation}"
        if found.problem:
            notes.append(f"{found.gateway}: {found.problem} ({number}).")
        elif not found.is_acknowledged:
            notes.append(
                f"{found.gateway} had acknowledged nothing; generation {number} was"
                " published and is shown as if it had been in force."
            )
        elif found.pending:
            notes.append(
                f"{found.gateway} still enforced generation {number};"
                f" {found.pending.epoch}.{found.pending.generation} was published and"
                " not yet acknowledged."
            )
    return tuple(notes)


def _sources(standings: Iterable[Standing]) -> tuple[str, ...]:
    """Return which generation of which gateway answered, there since when."""
    return tuple(
        f"{found.gateway} {found.position.epoch}.{found.position.generation},"
        f" {'in force' if found.is_acknowledged else 'published'} since"
        f" {found.position.since:%Y-%m-%d %H:%M:%S} UTC"
        for found in standings
        if found.content is not None
    )


def _named(names: Mapping[int, str], numbers: Iterable[int]) -> tuple[str, ...]:
    return tuple(names[number] for number in sorted(set(numbers)))


def _order(row: ReachRow) -> tuple[str, int, str, int]:
    return (
        row.person.casefold(),
        row.person_id,
        row.application.casefold(),
        row.application_id,
    )


def _last(grants: Iterable[Grant]) -> datetime | None:
    return _end(max((grant.expires_at or NEVER for grant in grants), default=NEVER))


def _end(moment: datetime) -> datetime | None:
    return None if moment == NEVER else moment
