"""Runs inside a namespace of its own: loads, changes and floods a real kernel.

Standard output: JSON, the figures. New flows are sent to every shape in turn, round
after round, so that what else the machine does troubles all alike.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

from gateway.kernel import LinuxKernel
from gateway.netfilter import Nftables, set_switches
from policies.compiler.delta import ElementChange
from policies.compiler.evaluate import Packet
from policies.compiler.nftables import ruleset, transaction
from policies.compiler.tables import Element, NamedSet, named_set
from policies.compiler.types import NEVER, Facts, Protocol, Snapshot
from tests.bench.measures import shapes
from tests.bench.measures.company import company
from tests.bench.measures.sending import Volley, packets_out
from tests.policies.compiler.build import NOW, snapshot
from tests.policies.compiler.frames import frame
from tests.policies.compiler.wire import QUIET, WIRES

FLOWS = 20_000
LINEAR_FLOWS = 4_000
LINEAR = "one rule for each policy"
MIXES = ("random", "skewed")
REPEATS = 3
TABLE = "peerage_wg0"
T = TypeVar("T")


def main() -> None:
    """Measure everything and print it."""
    rounds, switches = int(sys.argv[1]), sys.argv[2]
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
    subprocess.run(["sh", "-ec", QUIET], check=True)
    if switches == "gateway":
        set_switches()
    figures["move_by_libnftables"] = _move(nft.run)
    figures["move_directly"] = _move_directly()
    figures["flows"] = _flows(nft, policy, rounds)
    figures["listened"] = _listened(nft, policy, rounds)
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


def _flows(
    nft: Nftables, policy: Snapshot, rounds: int
) -> Mapping[str, Mapping[str, float]]:
    """Return the median microseconds of a new flow by shape, for each mix of flows."""
    scripts = _scripts(policy)
    volleys = {
        mix: Volley("tun", [frame(p, n) for n, p in enumerate(_granted(policy, mix))])
        for mix in MIXES
    }
    taken: dict[str, dict[str, list[float]]] = {
        mix: {name: [] for name in scripts} for mix in MIXES
    }
    for _ in range(rounds):
        for name, parts in scripts.items():
            _replace(nft, parts)
            flows = LINEAR_FLOWS if name == LINEAR else FLOWS
            for mix, volley in volleys.items():
                fired = (_volley(volley, flows) for _ in range(REPEATS))
                taken[mix][name].append(min(fired))
    return {
        mix: {name: statistics.median(v) * 1e6 for name, v in by_name.items()}
        for mix, by_name in taken.items()
    }


def _listened(nft: Nftables, policy: Snapshot, rounds: int) -> Mapping[str, float]:
    """Return the same while the agent's own reader takes what is logged and ends."""
    every = _scripts(policy)
    packets = [frame(p, n) for n, p in enumerate(_granted(policy, "random"))]
    volley = Volley("tun", packets)
    taken: dict[str, list[float]] = {"bare conntrack": [], "destination first": []}
    listener = subprocess.Popen([sys.executable, "-m", "tests.bench.measures.listener"])
    try:
        for _ in range(rounds):
            for name, values in taken.items():
                _replace(nft, every[name])
                values.append(min(_volley(volley, FLOWS) for _ in range(REPEATS)))
    finally:
        listener.terminate()
        listener.wait()
    return {name: statistics.median(v) * 1e6 for name, v in taken.items()}


def _scripts(policy: Snapshot) -> Mapping[str, tuple[str, ...]]:
    """Return every shape as the scripts that load it, the ruleset's own among them."""
    table = ruleset(policy, interface="wg0")
    return {
        "forwarding alone": (shapes.OPEN,),
        "bare conntrack": (shapes.BARE,),
        "destination first": shapes.script(table),
        "… without its log": shapes.script(shapes.without_log(table)),
        "… without counter and log": shapes.script(shapes.unlogged(table)),
        "… its three lookups alone": shapes.script(shapes.lookups_alone(table)),
        "… one map for TCP and UDP": shapes.script(shapes.both_protocols(table)),
        "… and the device looked up twice": shapes.script(
            shapes.looked_up_twice(table)
        ),
        "… sets of addresses": shapes.script(shapes.by_address(table)),
        "… hash of hosts first": shapes.script(shapes.hosts_first(table)),
        "… port first, then hashes": shapes.script(shapes.ports_first(table, policy)),
        LINEAR: (shapes.rule_for_each_policy(policy),),
    }


def _volley(volley: Volley, flows: int) -> float:
    """Return the seconds of a new flow, having seen that all of them passed."""
    flush = ["conntrack", "-F"]
    subprocess.run(flush, check=True, capture_output=True)
    before = packets_out("lan")
    seconds = volley.fire(flows)
    passed = packets_out("lan") - before
    if passed < flows:
        message = f"only {passed} of {flows} flows passed"
        raise RuntimeError(message)
    return seconds


def _granted(policy: Snapshot, mix: str) -> list[Packet]:
    """Return flows of devices to destinations they may reach.

    `random`: every device and destination is equally likely, the worst that caches
    can meet. `skewed`: the n-th grant, and among its members the n-th device, is
    n times rarer than the first (Zipf's law), as people's habits are.
    """
    random = Random(3)  # noqa: S311 - reproducible, not secret
    members = {m.subject: m.device_ids for m in policy.subjects}
    addresses = {p.device_id: p.addresses[0] for p in policy.peers}
    applications = {a.id: a for a in policy.applications}
    grants = [grant for grant in policy.grants if members[grant.subject]]
    ranked = random.sample(grants, len(grants))

    def chosen(among: Sequence[T]) -> T:
        if mix == "random":
            return random.choice(among)
        # The inverse of the harmonic sum, which the logarithm is near enough to.
        return among[min(int(len(among) ** random.random()), len(among)) - 1]

    packets: list[Packet] = []
    while len(packets) < FLOWS:
        grant = chosen(ranked)
        there = random.choice(applications[grant.application_id].destinations)
        if there.prefix.version == 6 or there.ports is None:
            continue
        prefix, ports = there.prefix, there.ports
        packets.append(
            Packet(
                source=addresses[chosen(members[grant.subject])],
                destination=prefix[random.randrange(prefix.num_addresses)],
                protocol=6 if there.protocol is Protocol.TCP else 17,
                port=random.randint(ports.first, ports.last),
            )
        )
    return packets


if __name__ == "__main__":
    main()
