"""What a change of policy does to people: compiled before, compiled after. Pure.

Counted is what a gateway would enforce at once: somebody without a device holds
nothing, and nor does somebody who is locked out. An address, protocol and port that a
person reaches both times, by whichever application, is neither gained nor lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from policies.compiler.conditions import Requirements
from policies.compiler.ranges import Family, Range, network_family
from policies.compiler.regions import Axis, destination_ranges, destination_services
from policies.compiler.types import Application, Destination, Snapshot, Subject
from policies.destinations import label
from policies.prefixes import Prefixes

_Box: TypeAlias = tuple[Range, Range]
_Parts: TypeAlias = tuple[tuple[_Box, ...], ...]
_Plane: TypeAlias = tuple[Family, Axis]
_Held: TypeAlias = Mapping[int, frozenset[int]]
_Places: TypeAlias = Mapping[int, tuple[Destination, ...]]


class EffectKind(StrEnum):
    """What happens to somebody."""

    LOSES = "loses"
    GAINS = "gains"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRow:
    """Some people gain or lose the same destinations of one application, by id.

    Of destinations that they gain or lose in part, `parts` says exactly which.
    """

    kind: EffectKind
    application_id: int
    destinations: tuple[str, ...]
    parts: _Parts
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
    units = _units(before), _units(after)
    was, is_now = _places(before), _places(after)
    moved = frozenset(n for n in {*was, *is_now} if was.get(n) != is_now.get(n))
    # Nearly everybody is as before, and nearly everybody is a set of their own.
    concerned = {owners[device] for device in _concerned(*units, moved)}
    had, have = (_held(side, owners, concerned) for side in units)
    lost, won = _Compared(was, is_now, moved), _Compared(is_now, was, moved)
    groups: dict[tuple[frozenset[int], frozenset[int]], list[int]] = {}
    nothing: frozenset[int] = frozenset()
    for person in sorted(concerned):
        key = (had.get(person, nothing), have.get(person, nothing))
        groups.setdefault(key, []).append(person)
    found: dict[tuple[EffectKind, int, tuple[str, ...], _Parts], list[int]] = {}
    for (old, new), people in groups.items():
        for kind, differences in (
            (EffectKind.LOSES, lost.differences(old, new)),
            (EffectKind.GAINS, won.differences(new, old)),
        ):
            for application, texts, parts in differences:
                what = (kind, application, texts, parts)
                found.setdefault(what, []).extend(people)
    rows = [
        EffectRow(
            kind=kind,
            application_id=application,
            destinations=texts,
            parts=parts,
            people=tuple(sorted(people)),
        )
        for (kind, application, texts, parts), people in found.items()
    ]
    losers = (row.people for row in rows if row.kind is EffectKind.LOSES)
    able = frozenset[int]().union(*(unit.devices for unit in units[0].values()))
    return Effect(
        rows=tuple(sorted(rows, key=_size)),
        holders=frozenset(owners[device] for device in able),
        losers=frozenset[int]().union(*losers),
    )


def missing(destination: Destination, others: frozenset[Destination]) -> str:
    """Return what others do not cover of a destination, in words, or nothing."""
    text, _ = _lacking(destination, others)
    return text


def _lacking(
    destination: Destination, others: frozenset[Destination]
) -> tuple[str, tuple[_Box, ...]]:
    """Return what others do not cover, in words, and exactly if it is a part."""
    if destination in others:
        return "", ()
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
        return "", ()
    text = label(destination)
    if left == boxes:
        return text, ()
    return f"part of {text}", tuple(sorted(box for p in left.values() for box in p))


def _size(row: EffectRow) -> tuple[int, int, str, int, tuple[str, ...], _Parts]:
    """Sort by people times destinations, largest first; losses before gains."""
    touched = len(row.people) * len(row.destinations)
    order = str(int(row.kind is EffectKind.GAINS))
    what = (row.application_id, row.destinations, row.parts)
    return (-touched, -len(row.people), order, *what)


@dataclass(frozen=True, slots=True)
class _Unit:
    """Some applications that some devices reach by the same terms at one gateway."""

    devices: frozenset[int]
    applications: frozenset[int]


_Units: TypeAlias = Mapping[tuple[str, Subject, Requirements], _Unit]


def _units(snapshots: Iterable[Snapshot]) -> _Units:
    """Return who reaches what at each gateway, by whom it is granted to and how."""
    found: dict[tuple[str, Subject, Requirements], _Unit] = {}
    for snapshot in snapshots:
        holders = {
            part.requirement: frozenset(holder.device_id for holder in part.holders)
            for part in snapshot.conditions
        }
        members = {m.subject: frozenset(m.device_ids) for m in snapshot.subjects}
        granted: dict[tuple[Subject, Requirements], set[int]] = {}
        for grant in snapshot.grants:
            terms = (grant.subject, grant.requires)
            granted.setdefault(terms, set()).add(grant.application_id)
        for (subject, requires), numbers in granted.items():
            # What is demanded is held by devices, not by people.
            able = members[subject].intersection(*(holders[r] for r in requires))
            key = (snapshot.audience, subject, requires)
            found[key] = _Unit(able, frozenset(numbers))
    return found


def _concerned(was: _Units, is_now: _Units, moved: frozenset[int]) -> Iterable[int]:
    """Yield the devices that may reach something else than before."""
    nothing = _Unit(frozenset(), frozenset())
    for key in was.keys() | is_now.keys():
        old, new = was.get(key, nothing), is_now.get(key, nothing)
        if old.applications != new.applications or moved & old.applications:
            yield from old.devices | new.devices
        else:
            yield from old.devices ^ new.devices


def _held(units: _Units, owners: Mapping[int, int], among: Collection[int]) -> _Held:
    """Return the applications that some people reach from any of their devices."""
    found: dict[int, set[int]] = {}
    for unit in units.values():
        for person in {owners[device] for device in unit.devices}.intersection(among):
            found.setdefault(person, set()).update(unit.applications)
    return {person: frozenset(numbers) for person, numbers in found.items()}


def _places(snapshots: Iterable[Snapshot]) -> _Places:
    """Return where each application is."""
    return {
        application.id: application.destinations
        for snapshot in snapshots
        for application in snapshot.applications
    }


class _Compared:
    """Where one side is that the other is not; each question is answered once."""

    def __init__(self, mine: _Places, theirs: _Places, moved: frozenset[int]) -> None:
        """Index the other side."""
        self._mine, self._theirs, self._moved = mine, theirs, moved
        self._prefixes = Prefixes(
            Application(id=number, destinations=places)
            for number, places in theirs.items()
        )
        self._near: dict[int, frozenset[int]] = {}
        self._said: dict[
            tuple[int, frozenset[int]], tuple[tuple[str, ...], _Parts]
        ] = {}

    def differences(
        self, numbers: frozenset[int], others: frozenset[int]
    ) -> Iterable[tuple[int, tuple[str, ...], _Parts]]:
        """Yield what applications reach and others do not, by application."""
        for number in sorted(numbers - (others - self._moved)):
            if number not in self._near:
                self._near[number] = self._around(number)
            key = (number, self._near[number] & others)
            if key not in self._said:
                self._said[key] = self._lacking(*key)
            texts, parts = self._said[key]
            if texts:
                yield number, texts, parts

    def _around(self, number: int) -> frozenset[int]:
        """Return the other side's applications that share an address with one."""
        prefixes = {place.prefix for place in self._mine[number]}
        return frozenset[int]().union(*map(self._prefixes.around, prefixes))

    def _lacking(
        self, number: int, near: frozenset[int]
    ) -> tuple[tuple[str, ...], _Parts]:
        """Return where an application is and those near it are not."""
        there = frozenset(place for other in near for place in self._theirs[other])
        lacking = [_lacking(place, there) for place in self._mine[number]]
        return (
            tuple(text for text, _ in lacking if text),
            tuple(part for _, part in lacking if part),
        )


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
