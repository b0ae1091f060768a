"""From the ruleset a kernel holds to the one it should hold, in one transaction.

Rules this module keeps:

* One script, applied by nft(8) as a whole or not at all. The table, the base chains
  and the lease are never deleted, and never empty at a moment a packet could see.
* Least change: elements are added and deleted one by one; a chain is rewritten only
  when its rules differ.
* A script computed from what was read back repairs whatever it was read from.
* An element with a timeout may be gone by the time it is deleted, and deleting what
  is absent fails the whole script: so it is added first, then deleted.
* An element that has ended leads to its chain until the kernel collects it, which may
  take a second, and such a chain cannot be deleted. So where a chain goes, maps whose
  elements end are flushed, which takes those along, and filled again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from policies.compiler.leases import is_lease
from policies.compiler.tables import (
    DYNAMIC,
    Chain,
    Element,
    NamedSet,
    Ruleset,
    table_name,
)
from policies.compiler.types import remaining

_MILLISECOND: Final = timedelta(milliseconds=1)
_DAY: Final = 86_400


def transaction(have: Ruleset | None, want: Ruleset, *, now: datetime) -> str:
    """Return the nft(8) script that turns `have` into `want`; empty if they agree.

    `have` is what the kernel holds: the last ruleset applied, or a listing read back.
    None means unknown or nothing: the script then declares everything, and replaces
    the elements and rules of whatever stands there under the same names.

    Elements that have ended at `now` are not added; the others carry what is left of
    their time. Repeating a script that was applied is not safe, computing it again
    from what was read back is.
    """
    table = f"inet {table_name(want.interface)}"
    if have is None:
        lines = _first_load(table, want, now=now)
    else:
        lines = _difference(table, have, want, now=now)
    return "".join(f"{line}\n" for line in lines)


def element_changes(
    have: Ruleset | None, want: Ruleset
) -> tuple[ElementChange, ...] | None:
    """Return what turns `have` into `want` if that is elements alone; None otherwise.

    None also when it is not known what stands. The meaning is that of `transaction`:
    all of it at once, deletions first, elements that ended left out.
    """
    if have is None or have.foreign or _frame(have) != _frame(want):
        return None
    pairs = zip(have.sets, want.sets, strict=True)
    changes = (_change(old, new, have.tolerance) for old, new in pairs)
    return tuple(change for change in changes if change.removed or change.added)


def milliseconds_left(element: Element, *, now: datetime) -> int | None:
    """Return how long an element is to stay: 0 if it has ended, None if for ever."""
    left = remaining(element.expires_at, now=now)
    return None if left is None else max(left // _MILLISECOND, 0)


def _frame(table: Ruleset) -> tuple[object, ...]:
    """Return all of a table but its elements."""
    declared = ((s.name, s.kind, s.declaration) for s in table.sets)
    return (*declared, *table.chains)


def _first_load(table: str, want: Ruleset, *, now: datetime) -> list[str]:
    """Declare, empty and fill everything, whatever stands there."""
    lines = [f"add table {table}"]
    lines += [_declare_set(table, named) for named in want.sets]
    lines += [_declare_chain(table, chain) for chain in want.chains]
    lines += [
        f"flush {named.kind} {table} {named.name}"
        for named in want.sets
        if not is_lease(named.name) and named.name not in DYNAMIC
    ]
    for chain in want.chains:
        lines += _rewrite(table, chain)
    for named in want.sets:
        lines += _add(table, named, named.elements, now=now)
    return lines


def _difference(
    table: str, have: Ruleset, want: Ruleset, *, now: datetime
) -> list[str]:
    """Declare what is new, change what differs, delete what is left over."""
    recast = _recast(have, want)
    lines = _take_out(table, have, recast)
    old = _without(have, recast)
    old_sets = {named.name: named for named in old.sets}
    old_chains = {chain.name: chain for chain in old.chains}
    refilled = _refilled(old, want)
    changes = [
        _change(
            None if named.name in refilled else old_sets.get(named.name),
            named,
            have.tolerance,
        )
        for named in want.sets
    ]
    lines += [_declare_set(table, s) for s in want.sets if s.name not in old_sets]
    lines += [
        _declare_chain(table, chain)
        for chain in want.chains
        if chain.name not in old_chains or old_chains[chain.name].hook != chain.hook
    ]
    lines += [f"flush map {table} {name}" for name in sorted(refilled)]
    for change in changes:
        lines += _remove(table, change.named, change.removed)
    for chain in want.chains:
        if chain.name not in old_chains or old_chains[chain.name].rules != chain.rules:
            lines += _rewrite(table, chain)
    for change in changes:
        lines += _add(table, change.named, change.added, now=now)
    return lines + _delete_rest(table, old, want)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementChange:
    """What differs in one set: elements to delete, then elements to add."""

    named: NamedSet
    removed: tuple[Element, ...]
    added: tuple[Element, ...]


def _change(old: NamedSet | None, new: NamedSet, tolerance: timedelta) -> ElementChange:
    """Compare the elements of a set by key."""
    before = {element.key: element for element in old.elements} if old else {}
    after = {element.key: element for element in new.elements}
    return ElementChange(
        named=new,
        removed=tuple(
            element
            for key, element in before.items()
            if not _agree(element, after.get(key), tolerance)
        ),
        added=tuple(
            element
            for key, element in after.items()
            if not _agree(element, before.get(key), tolerance)
        ),
    )


def _agree(left: Element, right: Element | None, tolerance: timedelta) -> bool:
    """Return whether two elements of one key are the same."""
    return (
        right is not None
        and left.data == right.data
        and abs(left.expires_at - right.expires_at) <= tolerance
    )


def _refilled(old: Ruleset, want: Ruleset) -> frozenset[str]:
    """Return the maps to flush because a chain goes that they may still lead to."""
    if {chain.name for chain in old.chains} <= {chain.name for chain in want.chains}:
        return frozenset()
    timed = {s.name for s in want.sets if s.is_timed and s.data_type == "verdict"}
    return frozenset(timed & {named.name for named in old.sets})


def _recast(have: Ruleset, want: Ruleset) -> frozenset[str]:
    """Return the names of sets whose type changed, as after an upgrade."""
    declared = {named.name: (named.kind, named.declaration) for named in have.sets}
    return frozenset(
        named.name
        for named in want.sets
        if declared.get(named.name, (named.kind, named.declaration))
        != (named.kind, named.declaration)
    )


def _take_out(table: str, have: Ruleset, recast: frozenset[str]) -> list[str]:
    """Delete sets of another type; rules that use them have to leave first.

    All rules come back further down in the same transaction.
    """
    if not recast:
        return []
    return [
        *(f"flush chain {table} {chain.name}" for chain in have.chains),
        *(_delete_set(table, s) for s in have.sets if s.name in recast),
    ]


def _without(have: Ruleset, recast: frozenset[str]) -> Ruleset:
    """Return what is left after `_take_out`."""
    if not recast:
        return have
    return replace(
        have,
        sets=tuple(named for named in have.sets if named.name not in recast),
        chains=tuple(replace(chain, rules=()) for chain in have.chains),
    )


def _delete_rest(table: str, old: Ruleset, want: Ruleset) -> list[str]:
    """Delete what is not wanted: first the rules, then what they used."""
    sets = {named.name for named in want.sets}
    chains = {chain.name for chain in want.chains}
    spare = [chain.name for chain in old.chains if chain.name not in chains]
    return [
        *(f"flush chain {table} {name}" for name in spare),
        *(_delete_set(table, named) for named in old.sets if named.name not in sets),
        *(f"delete chain {table} {name}" for name in spare),
        *(f"delete {kind} {table} {name}" for kind, name in old.foreign),
    ]


def _declare_set(table: str, named: NamedSet) -> str:
    """Return the command that makes a set; no change if it is there already."""
    return f"add {named.kind} {table} {named.name} {{ {named.declaration} }}"


def _delete_set(table: str, named: NamedSet) -> str:
    """Return the command that deletes a set with its elements."""
    return f"delete {named.kind} {table} {named.name}"


def _declare_chain(table: str, chain: Chain) -> str:
    """Return the command that makes a chain, or gives it its policy back."""
    hook = f" {{ {chain.hook} }}" if chain.hook else ""
    return f"add chain {table} {chain.name}{hook}"


def _rewrite(table: str, chain: Chain) -> list[str]:
    """Replace the rules of a chain."""
    return [
        f"flush chain {table} {chain.name}",
        *(f"add rule {table} {chain.name} {rule}" for rule in chain.rules),
    ]


def _remove(table: str, named: NamedSet, elements: Iterable[Element]) -> list[str]:
    """Delete elements, also those that the kernel may have ended meanwhile."""
    listed = tuple(elements)
    if not listed:
        return []
    keys = ", ".join(element.key for element in listed)
    delete = f"delete element {table} {named.name} {{ {keys} }}"
    if not named.is_timed:
        return [delete]
    back = ", ".join(_with_data(element.key, element) for element in listed)
    return [f"add element {table} {named.name} {{ {back} }}", delete]


def _add(
    table: str, named: NamedSet, elements: Iterable[Element], *, now: datetime
) -> list[str]:
    """Add the elements that have not ended."""
    written = [
        text for element in elements if (text := _timed(element, now=now)) is not None
    ]
    if not written:
        return []
    return [f"add element {table} {named.name} {{ {', '.join(written)} }}"]


def _timed(element: Element, *, now: datetime) -> str | None:
    """Return an element with what is left of its time, or None if nothing is."""
    left = milliseconds_left(element, now=now)
    if left is None:
        return _with_data(element.key, element)
    if not left:
        return None
    # nft(8) takes at most eight digits a unit, so days apart from seconds.
    seconds, milliseconds = divmod(left, 1000)
    days, seconds = divmod(seconds, _DAY)
    timeout = f"{days}d{seconds}s{milliseconds}ms"
    return _with_data(f"{element.key} timeout {timeout}", element)


def _with_data(text: str, element: Element) -> str:
    """Append a map element's data."""
    return f"{text} : {element.data}" if element.data else text
