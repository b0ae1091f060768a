"""From a notice to the steps that cut, without looking at the whole policy. Pure.

Comparing two whole rulesets takes a hundred times as long as what a notice changes.
So the elements of the devices are picked out of the ruleset that stands; everything
else stays as it is, and what stands afterwards is known, so that the next snapshot
applies as a difference again. Order as everywhere: elements, peers, flows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Final

from gateway.elements import is_plain
from gateway.reconcile import (
    ChangeElements,
    CutFlows,
    Have,
    RemovePeers,
    RunTransaction,
    Step,
)
from gateway.types import InterfaceState
from policies.compiler.delta import ElementChange, transaction
from policies.compiler.narrow import without_keys
from policies.compiler.nftables import Ruleset
from policies.compiler.tables import Element, NamedSet

FEW: Final = 16
"""So many devices are looked up; of more, every element is looked at."""


def cut(
    have: Have, *, keys: frozenset[str], devices: Collection[int], now: datetime
) -> tuple[tuple[Step, ...], Callable[[], Have]]:
    """Return the steps after which these keys and devices can do nothing, and have.

    What is had then is worked out when it is asked for: after the steps. Flows are
    looked for even where no element and no peer is left: an earlier try may have come
    as far as that.
    """
    changes = _changes(have.ruleset, frozenset(map(str, devices)))
    steps: list[Step] = []
    if changes and is_plain(changes):
        steps.append(ChangeElements(changes=changes))
    elif have.ruleset is not None and changes:
        # Too many for one batch of netlink: hundreds of people at once.
        table = _less(have.ruleset, changes)
        text = transaction(have.ruleset, table, now=now)
        steps.append(RunTransaction(text=text))
    if removed := tuple(sorted(keys & have.interface.peers.keys())):
        steps.append(RemovePeers(keys=removed))
    if devices:
        steps.append(CutFlows(devices=frozenset(devices), is_judged=False))
    return tuple(steps), partial(_left, have, keys, changes)


def _left(have: Have, keys: frozenset[str], changes: tuple[ElementChange, ...]) -> Have:
    table, snapshot = have.ruleset, have.snapshot
    left = {k: v for k, v in have.interface.peers.items() if k not in keys}
    return Have(
        snapshot=None if snapshot is None else without_keys(snapshot, keys),
        ruleset=None if table is None else _less(table, changes),
        interface=InterfaceState(listen_port=have.interface.listen_port, peers=left),
    )


def _changes(table: Ruleset | None, marks: frozenset[str]) -> tuple[ElementChange, ...]:
    """Return what takes the elements of these marks out of a table."""
    pairs = ((named, _of(named, marks)) for named in (table.sets if table else ()))
    return tuple(
        ElementChange(named=named, removed=gone, added=())
        for named, gone in pairs
        if gone
    )


def _less(table: Ruleset, changes: tuple[ElementChange, ...]) -> Ruleset:
    """Return a table without what changes remove."""
    gone = {change.named.name: {e.key for e in change.removed} for change in changes}
    return replace(
        table,
        sets=tuple(
            replace(
                named,
                elements=tuple(
                    [e for e in named.elements if e.key not in gone[named.name]]
                ),
            )
            if named.name in gone
            else named
            for named in table.sets
        ),
    )


def _of(named: NamedSet, marks: frozenset[str]) -> tuple[Element, ...]:
    """Return the elements that stand for these marks: by data, or by key.

    Elements of a set are in the order of their keys, so few are looked up.
    """
    if named.data_type == "mark":
        return tuple([e for e in named.elements if e.data in marks])
    if named.key_type != "mark":
        return ()
    if len(marks) > FEW:
        return tuple([e for e in named.elements if e.key in marks])
    found = []
    for mark in sorted(marks):
        place = bisect_left(named.elements, mark, key=attrgetter("key"))
        if place < len(named.elements) and named.elements[place].key == mark:
            found.append(named.elements[place])
    return tuple(found)
