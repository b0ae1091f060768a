"""What a new flow costs in each shape of the ruleset, beside each other.

Every shape has a gateway of its own (`gateway`), which stands for the whole run. One
volley each, in turn, round after round: what else the machine does troubles all
alike, and a ratio is of volleys fired within the same few seconds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

from tests.bench.measures.gateway import BARE, LINEAR, MIXES, NAMES

LINEAR_EVERY = 5
"""Rounds: one rule for each policy takes as long as all others together."""

Gateway: TypeAlias = "subprocess.Popen[str]"
Figures: TypeAlias = Mapping[str, float]


def costs(
    rounds: int,
    switches: str,
    *,
    names: Iterable[str] = NAMES,
    mixes: Sequence[str] = MIXES,
    to: str = BARE,
) -> Mapping[str, Mapping[str, Figures]]:
    """Return by mix and shape medians: microseconds, and against the shape `to`."""
    taken: dict[str, dict[str, list[tuple[float, float]]]] = {
        mix: defaultdict(list) for mix in mixes
    }
    with ExitStack() as stack:
        gateways = {n: stack.enter_context(_gateway(n, switches)) for n in names}
        for turn in range(rounds):
            for mix in mixes:
                found = {
                    name: _ask(gateway, mix)
                    for name, gateway in gateways.items()
                    if name != LINEAR or turn % LINEAR_EVERY == 0
                }
                for name, value in found.items():
                    taken[mix][name].append((value, value / found[to]))
    return {
        mix: {name: _summary(values) for name, values in by_name.items()}
        for mix, by_name in taken.items()
    }


def _summary(values: list[tuple[float, float]]) -> Figures:
    """Return medians, and the quartiles of the ratio."""
    ratios = [ratio for _, ratio in values]
    low, middle, high = (
        statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    )
    cost = statistics.median(value for value, _ in values)
    return {"cost": cost, "ratio": middle, "low": low, "high": high}


@contextmanager
def _gateway(name: str, switches: str) -> Iterator[Gateway]:
    """Lend a gateway that is ready; it ends when it is told nothing more."""
    inside = ("-m", "tests.bench.measures.gateway", name, switches)
    with subprocess.Popen(
        ["unshare", "--net", "--mount", sys.executable, *inside],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if _line(process) != "ready":
            message = f"the gateway of {name!r} did not come up"
            raise RuntimeError(message)
        yield process


def _ask(gateway: Gateway, mix: str) -> float:
    if gateway.stdin is None:
        raise TypeError(gateway)
    gateway.stdin.write(f"{mix}\n")
    gateway.stdin.flush()
    return float(_line(gateway))


def _line(gateway: Gateway) -> str:
    if gateway.stdout is None:
        raise TypeError(gateway)
    return gateway.stdout.readline().strip()
