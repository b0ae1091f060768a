"""What the kernel holds after changes of elements, made directly and by libnftables.

Runs in a network namespace of its own; standard output is the facts as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from gateway.elements import is_plain
from gateway.errors import NftablesError
from gateway.kernel import LinuxKernel
from gateway.netfilter import Nftables
from policies.compiler.delta import ElementChange, element_changes, transaction
from policies.compiler.nftables import ruleset
from policies.compiler.tables import Element, Ruleset, named_set
from policies.compiler.types import NEVER, Facts
from tests.policies.compiler.build import NOW, device, grant, snapshot
from tests.policies.compiler.examples import company

CHANGED = NOW + timedelta(milliseconds=1500)
"""When the change is made: what is left of every time then is no round number."""

MANY_GROUPS = 450
"""More messages in one batch than a socket's buffer has room for answers."""


def main() -> None:
    """Try everything and print the facts."""
    facts = {"listings": [_changed(day) for day in _days()], "refusals": _refusals()}
    json.dump(facts, sys.stdout)


def _days() -> Iterator[tuple[Facts, Facts]]:
    """Yield policies that differ in elements alone, there and back again."""
    before = company()
    moved = replace(before, memberships=((1, 4), (3, 4)))
    more = replace(
        before,
        devices=(
            *(replace(d, expires_at=NOW + timedelta(days=40)) for d in before.devices),
            device(40, 2, expires_at=NOW + timedelta(hours=9)),
            device(42, 2, expires_at=NOW + timedelta(seconds=1)),
            replace(device(41, 1), addresses=(ip_address("100.64.200.1"),)),
        ),
    )
    many = replace(
        before, devices=(*before.devices, *(device(n, 2) for n in range(50, 250)))
    )
    longer = tuple(
        g if g.expires_at == NEVER else replace(g, expires_at=NOW + timedelta(hours=20))
        for g in before.grants
    )
    groups = range(100, 100 + MANY_GROUPS)
    given = tuple(grant(group, f"gr_{group}", 1) for group in groups)
    alone = tuple((1, group) for group in groups)
    both = (*alone, *((2, group) for group in groups))
    wide = replace(before, memberships=both, grants=(*before.grants, *given))
    yield wide, replace(wide, memberships=alone)
    yield replace(wide, memberships=alone), wide
    for after in (moved, more, many, replace(before, grants=longer)):
        yield before, after
        yield after, before


def _changed(day: tuple[Facts, Facts]) -> dict[str, Any]:
    """Make one change in both ways, each in a table of its own."""
    nft = Nftables()
    nft.run("flush ruleset")
    listed = {}
    for interface in ("wg0", "wg1"):
        have, want = (_compiled(given, interface) for given in day)
        nft.run(transaction(None, have, now=NOW))
        changes = element_changes(have, want)
        if changes is None or not changes or not is_plain(changes):
            message = "these policies differ in more than elements"
            raise ValueError(message)
        if interface == "wg0":
            _kernel(interface).change_elements(changes, now=CHANGED)
        else:
            nft.run(transaction(have, want, now=CHANGED))
        listed[interface] = nft.list_table(f"inet peerage_{interface}")
    return listed


def _refusals() -> dict[str, Any]:
    """Have changes refused, and list what stands before and after."""
    nft = Nftables()
    nft.run("flush ruleset")
    nft.run(transaction(None, _compiled(company(), "wg0"), now=NOW))
    marks = named_set("who_gr_4", "mark")
    good = ElementChange(named=marks, removed=(), added=(Element("77", "", NEVER),))
    absent = replace(good, removed=(Element("99", "", NEVER),), added=())
    no_set = replace(good, named=replace(marks, name="who_gr_99"))
    wrong = replace(good, named=replace(marks, key_type="ipv6_addr"))
    wrong = replace(wrong, added=(Element("fd00::1", "", NEVER),))
    before = nft.list_table("inet peerage_wg0")
    kernel, elsewhere = _kernel("wg0"), _kernel("wg7")
    found: dict[str, Any] = {
        "absent": _refused(kernel, (good, absent)),
        "no_set": _refused(kernel, (good, no_set)),
        "wrong": _refused(kernel, (good, wrong)),
        "no_table": _refused(elsewhere, (good,)),
    }
    with _unprivileged():
        found["not_permitted"] = _refused(kernel, (good,))
    after = nft.list_table("inet peerage_wg0")
    # The positive control: what was refused in company is taken alone.
    found["control"] = _refused(kernel, (good,))
    held = nft.list_table("inet peerage_wg0")
    return {"said": found, "before": before, "after": after, "held": held}


def _refused(kernel: LinuxKernel, changes: Sequence[ElementChange]) -> str:
    try:
        kernel.change_elements(changes, now=NOW)
    except NftablesError as exc:
        return str(exc)
    return ""


@contextmanager
def _unprivileged() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def _kernel(interface: str) -> LinuxKernel:
    return LinuxKernel(interface, wireguard_log=Path("/dev/null"))


def _compiled(given: Facts, interface: str) -> Ruleset:
    return ruleset(snapshot(given), interface=interface)


if __name__ == "__main__":
    main()
