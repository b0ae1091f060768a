"""Telling a story step by step: what happens, how long it took, whether it held."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from tests.lab.processes import LabError

BOLD, DIM, GREEN, RED, PLAIN = "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m"
INDENT: Final = "     "


class Story:
    """Numbered steps on a terminal; remembers what did not hold."""

    def __init__(self) -> None:
        """Begin at step one."""
        self._number = 0
        self._begun = time.monotonic()
        self._in_colour = sys.stdout.isatty()
        self.failures: list[str] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Tell a step; its duration follows when it ends."""
        self._number += 1
        self._say(f"\n{self._number:3}. ", title, BOLD)
        begun = time.monotonic()
        yield
        self._say(f"{INDENT}took ", f"{time.monotonic() - begun:.2f} s", DIM)

    def note(self, text: str) -> None:
        """Say something that needs no proof."""
        print(f"{INDENT}{text}", flush=True)

    def check(self, *, that: str, holds: bool, but: str = "") -> None:
        """Say what must hold, and whether it does."""
        if holds:
            self._say(f"{INDENT}ok    ", that, GREEN, mark_only=True)
            return
        self.failures.append(that)
        self._say(f"{INDENT}FAIL  ", f"{that}{': ' if but else ''}{but}", RED)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table."""
        cells = [[str(cell) for cell in row] for row in rows]
        widths = [
            max(len(head), *(len(row[column]) for row in cells), 0)
            for column, head in enumerate(heads)
        ]
        lines = [heads, ["-" * width for width in widths], *cells]
        for line in lines:
            row = "  ".join(
                cell.ljust(width) for cell, width in zip(line, widths, strict=True)
            )
            print(f"{INDENT}{row.rstrip()}", flush=True)

    def conclude(self) -> None:
        """Say how it ended.

        Raises:
            LabError: something did not hold.
        """
        seconds = time.monotonic() - self._begun
        if self.failures:
            msg = f"{len(self.failures)} things did not hold, in {seconds:.0f} s"
            raise LabError("\n  * ".join([msg, *self.failures]))
        print(f"\nEvery step held, in {seconds:.0f} s.", flush=True)

    def _say(
        self, head: str, text: str, colour: str, *, mark_only: bool = False
    ) -> None:
        if not self._in_colour:
            print(f"{head}{text}", flush=True)
        elif mark_only:
            print(f"{colour}{head}{PLAIN}{text}", flush=True)
        else:
            print(f"{colour}{head}{text}{PLAIN}", flush=True)
