"""Runs inside a namespace of its own: loads a real kernel and changes what it holds.

Standard output: JSON, the figures.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gateway.kernel import LinuxKernel
from gateway.netfilter import Nftables
from policies.compiler.delta import ElementChange
from policies.compiler.nftables import ruleset, transaction
from policies.compiler.tables import Element, NamedSet, named_set
from policies.compiler.types import NEVER, Facts
from tests.bench.measures import shapes
from tests.bench.measures.company import company
from tests.policies.compiler.build import NOW, snapshot
from tests.policies.compiler.wire import WIRES

TABLE = "peerage_wg0"


def main() -> None:
    """Measure loads and changes, and print them."""
    wires = WIRES.replace("100.64.0.0/16", "100.64.0.0/10")
    subprocess.run(["sh", "-e"], input=wires, text=True, check=True)
    given = company(
        users=6_700, devices=10_000, groups=500, applications=2_000, grants=5_000
    )
    one_each = company(
        users=6_700, devices=10_000, groups=500, applications=2_000, grants=2_000
    )
    policy = snapshot(given)
    nft = Nftables()
    figures: dict[str, object] = {
        "load": _load(nft, given),
        "load_one_grant_each": _load(nft, one_each),
    }
    _replace(nft, shapes.script(ruleset(policy, interface="wg0")))
    figures["move_by_libnftables"] = _move(nft.run)
    figures["move_directly"] = _move_directly()
    json.dump(figures, sys.stdout)


def _replace(nft: Nftables, parts: Iterable[str]) -> None:
    """Load these scripts in place of everything."""
    for part in ("flush ruleset\n", *parts):
        nft.run(part)


def _load(nft: Nftables, given: Facts) -> Mapping[str, float]:
    """Return the seconds that the first load of a policy takes."""
    table = ruleset(snapshot(given), interface="wg0")
    text = transaction(None, table, now=NOW)
    wall, processor = [], []
    for _ in range(5):
        nft.run("flush ruleset")
        begun, used = time.perf_counter(), time.process_time()
        nft.run(text)
        wall.append(time.perf_counter() - begun)
        processor.append(time.process_time() - used)
    return {
        "wall": min(wall),
        "processor": min(processor),
        "megabytes_of_text": len(text) / 1e6,
        "elements": sum(len(named.elements) for named in table.sets),
        "rules": sum(len(chain.rules) for chain in table.chains),
    }


def _move(run: Callable[[str], None]) -> float:
    """Return the median seconds of moving a device from one group to another."""
    table, taken = f"inet {TABLE}", []
    run(f"add element {table} who_gr_1 {{ 99999 }}\n")
    for turn in range(40):
        old, new = (1, 2) if turn % 2 == 0 else (2, 1)
        begun = time.perf_counter()
        run(
            f"delete element {table} who_gr_{old} {{ 99999 }}\n"
            f"add element {table} who_gr_{new} {{ 99999 }}\n"
        )
        taken.append(time.perf_counter() - begun)
    run(f"delete element {table} who_gr_1 {{ 99999 }}\n")
    return statistics.median(taken)


def _move_directly() -> float:
    """Return the same as the agent does it: without a listing of what stands."""
    kernel = LinuxKernel("wg0", wireguard_log=Path("/dev/null"))
    mover = Element("99999", "", NEVER)
    sets = {number: named_set(f"who_gr_{number}", "mark") for number in (1, 2)}
    taken = []
    kernel.change_elements([_change(sets[1], added=(mover,))], now=NOW)
    for turn in range(400):
        old, new = (1, 2) if turn % 2 == 0 else (2, 1)
        changes = [
            _change(sets[old], removed=(mover,)),
            _change(sets[new], added=(mover,)),
        ]
        begun = time.perf_counter()
        kernel.change_elements(changes, now=NOW)
        taken.append(time.perf_counter() - begun)
    kernel.change_elements([_change(sets[1], removed=(mover,))], now=NOW)
    return statistics.median(taken)


def _change(
    named: NamedSet,
    *,
    removed: tuple[Element, ...] = (),
    added: tuple[Element, ...] = (),
) -> ElementChange:
    return ElementChange(named=named, removed=removed, added=added)


if __name__ == "__main__":
    main()
