"""From a notice to the steps that cut, without looking at the whole policy. Pure.

Comparing two whole rulesets takes a hundred times as long as what a notice changes.
So the elements of the devices are picked out of the ruleset that stands; everything
else stays as it is, and what stands afterwards is known, so that the next snapshot
applies as a difference again. Order as everywhere: elements, peers, flows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

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


def cut(
    have: Have, *, keys: frozenset[str], devices: Collection[int], now: datetime
) -> tuple[tuple[Step, ...], Have]:
    """Return the steps after which these keys and devices can do nothing, and have.

    Flows are looked for even where no element and no peer is left: an earlier try may
    have come as far as that.
    """
    table, changes = _less(have.ruleset, frozenset(map(str, devices)))
    steps: list[Step] = []
    if changes and is_plain(changes):
        steps.append(ChangeElements(changes=changes))
    elif have.ruleset is not None and table is not None and changes:
        # Too many for one batch of netlink: hundreds of people at once.
        text = transaction(have.ruleset, table, now=now)
        steps.append(RunTransaction(text=text))
    if removed := tuple(sorted(keys & have.interface.peers.keys())):
        steps.append(RemovePeers(keys=removed))
    if devices:
        steps.append(CutFlows(devices=frozenset(devices), is_judged=False))
    left = {k: v for k, v in have.interface.peers.items() if k not in keys}
    return tuple(steps), Have(
        snapshot=None if have.snapshot is None else without_keys(have.snapshot, keys),
        ruleset=table,
        interface=InterfaceState(listen_port=have.interface.listen_port, peers=left),
    )


def _less(
    table: Ruleset | None, marks: frozenset[str]
) -> tuple[Ruleset | None, tuple[ElementChange, ...]]:
    """Return a table without the elements of these marks, and what that changes."""
    if table is None:
        return None, ()
    sets: list[NamedSet] = []
    changes: list[ElementChange] = []
    for named in table.sets:
        gone = _of(named, marks)
        if gone:
            change = ElementChange(named=named, removed=gone, added=())
            changes.append(change)
            held = {e.key for e in gone}
            left = tuple([e for e in named.elements if e.key not in held])
            sets.append(replace(named, elements=left))
        else:
            sets.append(named)
    return replace(table, sets=tuple(sets)), tuple(changes)


def _of(named: NamedSet, marks: frozenset[str]) -> tuple[Element, ...]:
    """Return the elements that stand for these marks: by data, or by key."""
    if named.data_type == "mark":
        return tuple([e for e in named.elements if e.data in marks])
    if named.key_type == "mark":
        return tuple([e for e in named.elements if e.key in marks])
    return ()
