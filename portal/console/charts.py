"""Charts as shapes: numbers in, rectangles of an SVG out. Pure.

Colours are the style sheet's, so that both lights and a strict content policy suit
them; what a chart shows also stands in the table below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH: Final = 720
HEIGHT: Final = 96
GAP: Final = 0.15
"""Part of a bar's room that stays empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One rectangle, in units of the chart; `tone` is its class in the style sheet."""

    x: str
    y: str
    width: str
    height: str
    tone: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A title, what the highest bar says, and the bars."""

    title: str
    highest: str
    bars: tuple[Bar, ...]
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One place on the time axis: parts that stand on each other, and what they say."""

    parts: tuple[tuple[str, int], ...]
    label: str

    @property
    def total(self) -> int:
        """How high it is."""
        return sum(value for _, value in self.parts)


def stacked(title: str, highest: str, columns: Sequence[Column]) -> Chart:
    """Return a chart of columns from left to right; the highest fills it."""
    top = max((column.total for column in columns), default=0)
    room = WIDTH / max(len(columns), 1)
    bars = []
    for place, column in enumerate(columns):
        below = 0
        for tone, value in column.parts:
            if value == 0:
                continue
            below += value
            # What happened once among thousands is still seen.
            height = max(value / top * HEIGHT, 1)
            bars.append(
                Bar(
                    x=f"{place * room + room * GAP / 2:.2f}",
                    y=f"{max(HEIGHT - below / top * HEIGHT, 0):.2f}",
                    width=f"{room * (1 - GAP):.2f}",
                    height=f"{height:.2f}",
                    tone=tone,
                    label=column.label,
                )
            )
    return Chart(title=title, highest=highest, bars=tuple(bars))
