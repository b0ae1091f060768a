"""Stages of a computation: how long each takes, and in what proportion to a plain one.

A ratio survives a busy machine better than a second does, and processor time better
than wall time; both are shown. Of several rounds the fastest counts: what disturbs a
round only ever makes it slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

NAME_WIDTH: Final = 48


class Stages:
    """Rows of a table, printed as they are measured; the first one is the baseline."""

    def __init__(self, unit: str, *, rounds: int) -> None:
        """Print the heading. `unit` is `s` or `ms`."""
        self._unit = unit
        self._rounds = rounds
        self._baseline: float | None = None
        head = f"{'wall':>12}{'processor':>12}{'ratio':>9}{'target':>10}"
        print(f"{'':{NAME_WIDTH}}{head}")

    def measure(
        self, name: str, work: Callable[[], T], *, target: float | None = None
    ) -> T:
        """Do the work some times, print its row, return its last result."""
        # Results of earlier rounds are let go: memory is measured, too.
        times = [_timed(work)[1:] for _ in range(self._rounds - 1)]
        result, *last = _timed(work)
        wall, processor = map(min, zip(*times, last, strict=True))
        self._baseline = self._baseline or processor
        wanted = "" if target is None else f"≤ {target:g} {self._unit}"
        print(
            f"{name:{NAME_WIDTH}}{self._seconds(wall)}{self._seconds(processor)}"
            f"{processor / self._baseline:8.1f}×{wanted:>10}"
        )
        return result

    def _seconds(self, value: float) -> str:
        scaled = value * 1e3 if self._unit == "ms" else value
        return f"{scaled:{'9.1f' if self._unit == 'ms' else '9.2f'}} {self._unit:<2}"


def _timed(work: Callable[[], T]) -> tuple[T, float, float]:
    begun, used = time.perf_counter(), time.process_time()
    result = work()
    used = time.process_time() - used
    return result, time.perf_counter() - begun, used
