"""What a change of policy does to people: compiled before, compiled after. Pure.

Counted is what a gateway would enforce at once: somebody without a device holds
nothing, and nor does somebody who is locked out. An address, protocol and port that a
person reaches both times, by whichever application, is neither gained nor lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from policies.compiler.conditions import Requirements
from policies.compiler.ranges import Family, Range, network_family
from policies.compiler.regions import Axis, destination_ranges, destination_services
from policies.compiler.types import Destination, Snapshot, Subject
from policies.destinations import label

_Box: TypeAlias = tuple[Range, Range]
_Plane: TypeAlias = tuple[Family, Axis]
_Held: TypeAlias = Mapping[int, frozenset[int]]
_Found: TypeAlias = Mapping[int, frozenset[Destination]]


class EffectKind(StrEnum):
    """What happens to somebody."""

    LOSES = "loses"
    GAINS = "gains"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRow:
    """Some people gain or lose the same destinations of one application, by id."""

    kind: EffectKind
    application_id: int
    destinations: tuple[str, ...]
    people: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The largest change first. `holders` are those who reach anything before."""

    rows: tuple[EffectRow, ...]
    holders: frozenset[int]
    losers: frozenset[int]

    @property
    def people(self) -> frozenset[int]:
        """Who gains or loses something."""
        return self.gainers | self.losers

    @property
    def gainers(self) -> frozenset[int]:
        """Who gains something."""
        gains = (row.people for row in self.rows if row.kind is EffectKind.GAINS)
        return frozenset[int]().union(*gains)

    def exceeds(self, percent: int) -> bool:
        """Return whether more than that share of the holders lose something."""
        return len(self.losers) * 100 > percent * len(self.holders)


def effect(
    before: Sequence[Snapshot],
    after: Sequence[Snapshot],
    *,
    owners: Mapping[int, int],
) -> Effect:
    """Return who gains and who loses what; `owners` says whose a device is."""
    had, have = _held(before, owners), _held(after, owners)
    was, is_now = _destinations(before), _destinations(after)
    moved = {n for n in {*was, *is_now} if was.get(n) != is_now.get(n)}
    groups: dict[tuple[frozenset[int], frozenset[int]], list[int]] = {}
    nothing: frozenset[int] = frozenset()
    for person in sorted({*had, *have}):
        key = (had.get(person, nothing), have.get(person, nothing))
        # Nearly everybody is as before, and nearly everybody is a set of their own.
        if key[0] != key[1] or not moved.isdisjoint(key[0]):
            groups.setdefault(key, []).append(person)
    found: dict[tuple[EffectKind, int, tuple[str, ...]], list[int]] = {}
    for (old, new), people in groups.items():
        for kind, mine, theirs in (
            (EffectKind.LOSES, (old, was), (new, is_now)),
            (EffectKind.GAINS, (new, is_now), (old, was)),
        ):
            for application, texts in _difference(mine, theirs):
                found.setdefault((kind, application, texts), []).extend(people)
    rows = [
        EffectRow(
            kind=kind,
            application_id=application,
            destinations=texts,
            people=tuple(sorted(people)),
        )
        for (kind, application, texts), people in found.items()
    ]
    lost = (row.people for row in rows if row.kind is EffectKind.LOSES)
    return Effect(
        rows=tuple(sorted(rows, key=_size)),
        holders=frozenset(had),
        losers=frozenset[int]().union(*lost),
    )


def missing(destination: Destination, others: frozenset[Destination]) -> str:
    """Return what others do not cover of a destination, in words, or nothing."""
    if destination in others:
        return ""
    boxes = {plane: [*found] for plane, found in _boxes(destination).items()}
    left = boxes
    for other in others:
        # A name stands for less than its prefix, and for nothing of another name's.
        if other.host not in {"", destination.host}:
            continue
        for plane, cuts in _boxes(other).items():
            for cut in cuts:
                if plane in left:
                    pieces = [p for box in left[plane] for p in _without(box, cut)]
                    left = {**left, plane: pieces}
    if not any(left.values()):
        return ""
    text = label(destination)
    return text if left == boxes else f"part of {text}"


def _size(row: EffectRow) -> tuple[int, int, str, int, tuple[str, ...]]:
    """Sort by people times destinations, largest first; losses before gains."""
    touched = len(row.people) * len(row.destinations)
    order = str(int(row.kind is EffectKind.GAINS))
    return (-touched, -len(row.people), order, row.application_id, row.destinations)


def _held(snapshots: Iterable[Snapshot], owners: Mapping[int, int]) -> _Held:
    """Return the applications that each person reaches from any of their devices."""
    found: dict[int, set[int]] = {}
    for snapshot in snapshots:
        holders = {
            part.requirement: frozenset(holder.device_id for holder in part.holders)
            for part in snapshot.conditions
        }
        granted: dict[tuple[Subject, Requirements], set[int]] = {}
        for grant in snapshot.grants:
            terms = (grant.subject, grant.requires)
            granted.setdefault(terms, set()).add(grant.application_id)
        members = {m.subject: frozenset(m.device_ids) for m in snapshot.subjects}
        for (subject, requires), numbers in granted.items():
            # What is demanded is held by devices, not by people.
            able = members[subject].intersection(*(holders[r] for r in requires))
            for person in {owners[device] for device in able}:
                found.setdefault(person, set()).update(numbers)
    return {person: frozenset(numbers) for person, numbers in found.items() if numbers}


def _destinations(snapshots: Iterable[Snapshot]) -> _Found:
    """Return where each application is."""
    return {
        application.id: frozenset(application.destinations)
        for snapshot in snapshots
        for application in snapshot.applications
    }


def _difference(
    mine: tuple[frozenset[int], _Found], theirs: tuple[frozenset[int], _Found]
) -> Iterable[tuple[int, tuple[str, ...]]]:
    """Yield what the one side reaches and the other does not, by application."""
    numbers, places = mine
    others = frozenset[Destination]().union(*(theirs[1][n] for n in theirs[0]))
    for number in sorted(numbers):
        texts = tuple(
            text
            for destination in sorted(places[number], key=lambda d: d.sort_key)
            if (text := missing(destination, others))
        )
        if texts:
            yield number, texts


def _boxes(destination: Destination) -> Mapping[_Plane, Sequence[_Box]]:
    """Return a destination as ranges of addresses by ranges of services."""
    family = network_family(destination.prefix)
    found: dict[_Plane, list[_Box]] = {}
    for axis, services in destination_services(destination):
        found.setdefault((family, axis), []).extend(
            (addresses, services) for addresses in destination_ranges(destination)
        )
    return found


def _without(box: _Box, cut: _Box) -> Iterable[_Box]:
    """Yield the up to four pieces of a box that another leaves of it."""
    ((first, last), (low, high)), ((begin, end), (least, most)) = box, cut
    if last < begin or end < first or high < least or most < low:
        yield box
        return
    if first < begin:
        yield (first, begin - 1), (low, high)
    if end < last:
        yield (end + 1, last), (low, high)
    inner = (max(first, begin), min(last, end))
    if low < least:
        yield inner, (low, least - 1)
    if most < high:
        yield inner, (most + 1, high)
