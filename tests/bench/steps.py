"""What each step of a new flow's way costs, with all of it in the caches.

One rule walked ten times, less none, by ten: `script/bench steps [--rounds N]`, as
root. What a step costs beyond this, when its data are not at hand, is in the
difference between the mixes of `script/bench policy --only kernel`.
"""

from __future__ import annotations

import argparse
import sys

from tests.bench.measures.flows import costs
from tests.bench.measures.gateway import BARE, STEPS, TIMES


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="script/bench steps")
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args(arguments).rounds
    names, (around, *_) = (BARE, *STEPS), STEPS
    found = costs(rounds, "gateway", names=names, mixes=("skewed",), to=around)
    by_name = found["skewed"]
    bare, base = by_name[BARE]["cost"], by_name[around]["cost"]
    print(f"{'bare conntrack':40}{bare:8.2f} µs")
    print(f"{'with the gates of a new flow':40}{base:8.2f} µs")
    print(f"\n{'one step':40}{'ns':>8}{'% of bare':>12}")
    for name in list(STEPS)[1:]:
        step = (by_name[name]["ratio"] - 1) * base / TIMES
        print(f"{name:40}{step * 1e3:8.0f}{step / bare * 100:12.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
