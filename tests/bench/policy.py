"""How long policy takes: compiling it, changing it, and judging a new flow by it.

Compiling runs here; loads, changes and flows in a network namespace of their own (as
root). `script/bench policy [--rounds N] [--only compiler|kernel] [--switches gateway|
kernel]`: conntrack accounts, stamps and announces as on a gateway, or as by default.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from random import Random

from gateway.running import COLLECT_AFTER
from policies.compiler.compile import compile_snapshot, next_change
from policies.compiler.holdings import holdings, holdings_digest
from policies.compiler.incremental import Compilation
from policies.compiler.nftables import Ruleset, ruleset, transaction
from policies.compiler.snapshot import digest, parse_snapshot, snapshot_bytes
from policies.compiler.types import Facts, Snapshot
from tests.bench.measures.company import company, copied, demanding
from tests.bench.measures.flows import costs
from tests.bench.measures.gateway import LINEAR, OURS
from tests.bench.measures.stages import NAME_WIDTH, Stages
from tests.policies.compiler.build import NOW

CHANGES = 200


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="script/bench policy")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=("compiler", "kernel"))
    parser.add_argument("--switches", choices=("gateway", "kernel"), default="gateway")
    chosen = parser.parse_args(arguments)
    if chosen.only != "kernel":
        _compiler(chosen.rounds)
    if chosen.only != "compiler":
        _kernel(chosen.rounds, chosen.switches)
    return 0


def _compiler(rounds: int) -> None:
    print(
        "100,000 users, 150,000 devices, 500 groups, 2,000 applications, 5,000 grants"
    )
    given = company(
        users=100_000, devices=150_000, groups=500, applications=2_000, grants=5_000
    )
    # As the portal and the agent do.
    gc.set_threshold(COLLECT_AFTER)
    stages = Stages("s", rounds=rounds)
    stages.measure("copy: one tuple for each value", lambda: copied(given))
    stages.measure("snapshot and ruleset from facts", lambda: _both(given), target=3)
    _row("memory at most, facts included", _memory(), "GiB", 1)
    _demanding(stages, demanding(given))
    compiled = stages.measure("  snapshot (portal)", lambda: _snapshot(given))
    table = stages.measure(
        "  ruleset (gateway)", lambda: ruleset(compiled, interface="wg0")
    )
    print("around it")
    payload = stages.measure(
        "canonical bytes (portal)", lambda: snapshot_bytes(compiled)
    )
    stages.measure("their digest", lambda: digest(payload))
    stages.measure("digest of holdings (portal)", lambda: _expected(compiled))
    stages.measure("next change (portal)", lambda: next_change(given, now=NOW))
    stages.measure("read back and checked (gateway)", lambda: parse_snapshot(payload))
    stages.measure(
        "text of the first transaction (gateway)",
        lambda: transaction(None, table, now=NOW),
    )
    _row("memory at most, everything kept", _memory(), "GiB")
    wall, processor = zip(*_changes(given), strict=True)
    _row("one changed user, median", statistics.median(wall) * 1e3, "ms", 10)
    _row("  of a processor", statistics.median(processor) * 1e3, "ms")
    _row("one changed user, worst of 200", max(wall) * 1e3, "ms")


def _demanding(stages: Stages, given: Facts) -> None:
    stages.measure("the same, one grant in five on conditions", lambda: _both(given))
    stages.measure("their next change", lambda: next_change(given, now=NOW))


def _both(given: Facts) -> Ruleset:
    return ruleset(_snapshot(given), interface="wg0")


def _snapshot(given: Facts) -> Snapshot:
    return compile_snapshot(given, epoch=1, generation=1, now=NOW)


def _expected(compiled: Snapshot) -> str:
    return holdings_digest(holdings(compiled, "wg0"))


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _changes(given: Facts) -> list[tuple[float, float]]:
    """Return what each change of one person's groups and devices takes.

    By the clock, and of a processor.
    """
    random = Random(2)  # noqa: S311 - reproducible, not secret
    compilation = Compilation(given, now=NOW)
    compilation.snapshot(epoch=1, generation=1, now=NOW)
    taken = []
    for number in range(CHANGES):
        device = random.choice(given.devices)
        groups = random.sample(range(1, 501), 3)
        devices = (device,) if number % 3 else ()
        begun, used = time.perf_counter(), time.process_time()
        compilation.put_user(device.user_id, devices=devices, groups=groups)
        compilation.snapshot(epoch=1, generation=1, now=NOW)
        used = time.process_time() - used
        taken.append((time.perf_counter() - begun, used))
    return taken


def _kernel(rounds: int, switches: str) -> None:
    inside = ("-m", "tests.bench.measures.kernel")
    command = ["unshare", "--net", "--mount", sys.executable, *inside]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    print("10,000 devices in 3–4 of 500 groups, 2,000 applications")
    for name, grants in (("load", "5,000"), ("load_one_grant_each", "2,000")):
        load = found[name]
        _row(f"load with {grants} grants, libnftables", load["wall"], "s", 0.5)
        print(
            f"    {load['elements']:,} elements, {load['rules']:,} rules,"
            f" {load['megabytes_of_text']:.1f} MB of text,"
            f" {load['processor']:.2f} s of processor time"
        )
    directly, by_text = found["move_directly"], found["move_by_libnftables"]
    _row("one device to another group, by the agent", directly * 1e3, "ms", 1)
    _row("the same through libnftables", by_text * 1e3, "ms")
    _flows(costs(rounds, switches))


def _flows(by_mix: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Print medians, and between which ratios the middle half of the rounds lies."""
    titles = "".join(f"{f'{mix}, µs':>14}{'× bare':>8}{'':12}" for mix in by_mix)
    print(f"\n{'a new flow':42}{titles}")
    for name in by_mix["random"]:
        print(f"{name:42}" + "".join(_cell(flows[name]) for flows in by_mix.values()))
    for mix, flows in by_mix.items():
        times = flows[OURS]["ratio"]
        _row(f"{mix} flows, against bare conntrack", times, "×", 1.3)
    flows = by_mix["random"]
    times = flows[LINEAR]["ratio"] / flows[OURS]["ratio"]
    _row("cheaper than one rule for each policy", times, "×", 30, least=True)


def _cell(found: Mapping[str, float]) -> str:
    middle_half = f"({found['low']:.2f}–{found['high']:.2f})"
    return f"{found['cost']:14.2f}{found['ratio']:8.2f}{middle_half:>12}"


def _row(
    name: str,
    value: float,
    unit: str,
    target: float | None = None,
    *,
    least: bool = False,
) -> None:
    sign = "≥" if least else "≤"
    wanted = "" if target is None else f"{sign} {target:g} {unit}"
    print(f"{name:{NAME_WIDTH}}{value:9.2f} {unit:<3}{wanted:>30}")


if __name__ == "__main__":
    sys.exit(main())
