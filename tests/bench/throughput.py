"""How much of a gateway's throughput its ruleset leaves: `script/bench throughput`.

Some hundred established UDP flows, small packets and large ones, from devices (up)
and to devices (down), with 10,000 devices in the ruleset: against the same way through
an empty forward chain, and through one that only tracks connections. Each has a network
namespace of its own with pairs of wires and without WireGuard, whose cipher would hide
the rules; a wire hands a packet on in its sender's own context, so the sender's
processor time is the gateway's, and what sending itself costs is in every figure. They
take turns, and a ratio is of volleys of the same few seconds. Then TCP through a real
tunnel and agent, in one stream, through the rules and past them. As root.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product

from tests.bench.measures.established import (
    BARE,
    DIRECTIONS,
    EMPTY,
    OURS,
    SIZES,
    STEPS,
)
from tests.faults.isolated import SPACES as OWN_SPACES
from tests.lab import requirements

TARGET = 0.85
SPACES = ("unshare", "--net", "--mount")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if the ruleset leaves less than it should."""
    parser = argparse.ArgumentParser(prog="script/bench throughput")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", action="store_true", help="what each gate costs")
    options = parser.parse_args(arguments)
    rounds: int = options.rounds
    if lacks := requirements.missing():
        print("\n".join(("missing:", *lacks)), file=sys.stderr)
        return 1
    if options.steps:
        return _steps(rounds)
    print(f"{'packets a second and core, thousands':38}", end="")
    print("".join(f"{name:>24}" for name in (EMPTY, BARE, OURS)), end="")
    print(f"{'left of empty':>16}{'middle half':>14}{'left of bare':>14}")
    status = 0
    with ExitStack() as stack:
        gateways = {
            name: stack.enter_context(gateway(name)) for name in (EMPTY, BARE, OURS)
        }
        for size, direction in product(SIZES, DIRECTIONS):
            taken = [_turn(gateways, f"{size} {direction}") for _ in range(rounds)]
            title = f"{size} ({SIZES[size]} bytes), {direction}"
            status |= _printed(title, taken)
    status |= _tunnelled(rounds)
    print(f"target: {TARGET} of an empty chain")
    return status


def _steps(rounds: int) -> int:
    """Print what a small packet costs with each gate, and what is left of empty."""
    names = (EMPTY, BARE, *STEPS, OURS)
    with ExitStack() as stack:
        gateways = {name: stack.enter_context(gateway(name)) for name in names}
        for direction in DIRECTIONS:
            taken = [_turn(gateways, f"small {direction}") for _ in range(rounds)]
            print(f"{direction + ', ns a packet':38}{'cost':>8}{'left of empty':>16}")
            for name in names:
                cost = statistics.median(turn[name] for turn in taken) * 1e3
                left = statistics.median(turn[EMPTY] / turn[name] for turn in taken)
                print(f"{name:38}{cost:8,.0f}{left:16.3f}", flush=True)
    return 0


def _tunnelled(rounds: int) -> int:
    """Print a row for TCP through a tunnel; return 1 if it misses the target."""
    command = [*OWN_SPACES, sys.executable, "-m", "tests.bench.measures.tunnel"]
    done = subprocess.run(
        [*command, str(rounds)], check=True, text=True, stdout=subprocess.PIPE
    )
    pairs = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    left = sorted(ours / past for past, ours in pairs)
    past, ours = map(statistics.median, zip(*pairs, strict=True))
    middle = statistics.median(left)
    span = f"{left[len(left) // 4]:.2f}–{left[-1 - len(left) // 4]:.2f}"
    print(
        f"{'TCP through a tunnel, Mbit/s':38}{past:24,.0f}{'':24}{ours:24,.0f}", end=""
    )
    print(f"{middle:16.2f}{span:>14}", flush=True)
    return int(middle < TARGET)


@contextmanager
def gateway(name: str) -> Iterator[subprocess.Popen[str]]:
    """Lend a gateway that is ready; it ends with its input."""
    command = [*SPACES, sys.executable, "-m", "tests.bench.measures.established", name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        _answer(process)
        yield process
        if process.stdin is not None:
            process.stdin.close()


def _turn(
    gateways: Mapping[str, subprocess.Popen[str]], line: str
) -> Mapping[str, float]:
    """Return what a packet costs each, in microseconds."""
    found = {}
    for name, process in gateways.items():
        if process.stdin is not None:
            print(line, file=process.stdin, flush=True)
        found[name] = float(_answer(process))
    return found


def _answer(process: subprocess.Popen[str]) -> str:
    answer = process.stdout.readline() if process.stdout is not None else ""
    if not answer:
        sys.exit("script/bench throughput: a gateway ended; its error is above")
    return answer


def _printed(title: str, taken: Sequence[Mapping[str, float]]) -> int:
    """Print one row; return 1 if it misses the target."""
    left = sorted(turn[EMPTY] / turn[OURS] for turn in taken)
    bare = statistics.median(turn[BARE] / turn[OURS] for turn in taken)
    middle = statistics.median(left)
    low, high = left[len(left) // 4], left[-1 - len(left) // 4]
    rates = (1e3 / statistics.median(t[n] for t in taken) for n in (EMPTY, BARE, OURS))
    figures = "".join(f"{rate:24,.0f}" for rate in rates)
    span = f"{low:.2f}–{high:.2f}"
    print(f"{title:38}{figures}{middle:16.2f}{span:>14}{bare:14.2f}", flush=True)
    return int(middle < TARGET)


if __name__ == "__main__":
    sys.exit(main())
