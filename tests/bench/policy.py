"""How long policy takes: compiling it, changing it, and judging a new flow by it.

Compiling runs here; loads, changes and flows in a network namespace of their own (as
root). `script/bench policy [--rounds N] [--only compiler|kernel]`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from random import Random

from policies.compiler.compile import compile_snapshot
from policies.compiler.incremental import Compilation
from policies.compiler.nftables import ruleset
from policies.compiler.types import Facts
from tests.bench.measures.company import company
from tests.policies.compiler.build import NOW

CHANGES = 200


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="script/bench policy")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=("compiler", "kernel"))
    chosen = parser.parse_args(arguments)
    print(f"{'':52}{'measured':>12}{'target':>12}")
    if chosen.only != "kernel":
        _compiler()
    if chosen.only != "compiler":
        _kernel(chosen.rounds)
    return 0


def _compiler() -> None:
    print(
        "100,000 users, 150,000 devices, 500 groups, 2,000 applications, 5,000 grants"
    )
    given = company(
        users=100_000, devices=150_000, groups=500, applications=2_000, grants=5_000
    )
    begun, used = time.perf_counter(), time.process_time()
    compiled = compile_snapshot(given, epoch=1, generation=1, now=NOW)
    snapped = time.perf_counter()
    ruleset(compiled, interface="wg0")
    ruled, used = time.perf_counter(), time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    _row("snapshot, from scratch (portal)", snapped - begun, "s", 3)
    _row("ruleset from the snapshot (gateway)", ruled - snapped, "s")
    _row("both", ruled - begun, "s", 3)
    _row("both, processor time", used, "s")
    _row("memory at most, facts included", peak, "GiB", 1)
    taken = _changes(given)
    _row("one changed user, median", statistics.median(taken) * 1e3, "ms", 10)
    _row("one changed user, worst of 200", max(taken) * 1e3, "ms")


def _changes(given: Facts) -> list[float]:
    """Return what each change of one person's groups and devices takes."""
    random = Random(2)  # noqa: S311 - reproducible, not secret
    compilation = Compilation(given, now=NOW)
    compilation.snapshot(epoch=1, generation=1, now=NOW)
    taken = []
    for number in range(CHANGES):
        device = random.choice(given.devices)
        groups = random.sample(range(1, 501), 3)
        devices = (device,) if number % 3 else ()
        begun = time.perf_counter()
        compilation.put_user(device.user_id, devices=devices, groups=groups)
        compilation.snapshot(epoch=1, generation=1, now=NOW)
        taken.append(time.perf_counter() - begun)
    return taken


def _kernel(rounds: int) -> None:
    inside = ("-m", "tests.bench.measures.kernel", str(rounds))
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
    by_kernel, by_text = found["move_in_the_kernel"], found["move_by_libnftables"]
    _row("one device to another group, in the kernel", by_kernel * 1e3, "ms", 1)
    _row("the same through libnftables", by_text * 1e3, "ms")
    _flows(found["flows"])


def _flows(flows: Mapping[str, float]) -> None:
    bare = flows["bare conntrack"]
    print(f"\n{'a new flow, 20,000 random ones':40}{'µs':>8}{'× bare':>10}")
    for name, value in flows.items():
        print(f"{name:40}{value:8.2f}{value / bare:10.2f}")
    ours, ruled = flows["destination first"], flows["one rule for each policy"]
    _row("new flow against bare conntrack", ours / bare, "×", 1.3)
    _row("cheaper than one rule for each policy", ruled / ours, "×", 30, least=True)


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
    print(f"{name:52}{value:9.2f} {unit:<3}{wanted:>11}")


if __name__ == "__main__":
    sys.exit(main())
