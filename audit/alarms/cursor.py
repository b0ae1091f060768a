"""How far a table was read, so that no row is passed over or judged twice. Pure.

Numbers are given before they are committed: on PostgreSQL row 10 may appear after row
11 was read. So a number that is missing below the last one read is a gap, and gaps are
read again with everything new. A gap is given up when no transaction is left that
could fill it: every one that had begun when the gap was noticed has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GRACE_SECONDS: Final = 60
"""A statement that has a number but no transaction number yet is over by then."""
MOST_GAPS: Final = 500
"""More are not noted: reading then stops before the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Numbers that are missing: first and last, and when they were noticed.

    `begun` is the number that the next transaction had then; `at` is a UNIX time.
    """

    first: int
    last: int
    begun: int
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Every row up to `last` was judged, except for what is missing in `gaps`."""

    last: int
    gaps: tuple[Gap, ...] = ()

    def admitted(self, numbers: Sequence[int]) -> list[int]:
        """Return which of the rows that were read may be judged now, in order.

        The others come again: they lie behind more gaps than can be noted.
        """
        admitted: list[int] = []
        last, room = self.last, MOST_GAPS - len(self.gaps)
        for number in sorted(numbers):
            if number > last + 1:
                room -= 1
                if room < 0:
                    break
            last = max(last, number)
            admitted.append(number)
        return admitted

    def after(
        self, numbers: Sequence[int], *, ended: int, begun: int, at: int
    ) -> Position:
        """Return the position when `numbers` were judged.

        `ended` is the number below which every transaction had ended before the rows
        were read; `begun` is the next transaction's number after they were read.
        """
        judged = sorted(numbers)
        open_gaps = [
            left
            for gap in self.gaps
            for left in _without(gap, judged)
            if gap.begun > ended or gap.at > at - GRACE_SECONDS
        ]
        last = self.last
        for number in judged:
            if number > last + 1:
                open_gaps.append(
                    Gap(first=last + 1, last=number - 1, begun=begun, at=at)
                )
            last = max(last, number)
        return Position(last=last, gaps=tuple(open_gaps))

    def as_json(self) -> list[list[int]]:
        """Return the gaps as they are stored."""
        return [[gap.first, gap.last, gap.begun, gap.at] for gap in self.gaps]


def stored_position(last: int, gaps: Iterable[Sequence[int]]) -> Position:
    """Return what was stored."""
    return Position(
        last=last,
        gaps=tuple(
            Gap(first=first, last=end, begun=begun, at=at)
            for first, end, begun, at in gaps
        ),
    )


def _without(gap: Gap, judged: Sequence[int]) -> list[Gap]:
    """Return what is left of a gap when some of its numbers have appeared."""
    left: list[Gap] = []
    first = gap.first
    for number in judged:
        if number < first or number > gap.last:
            continue
        if number > first:
            left.append(Gap(first=first, last=number - 1, begun=gap.begun, at=gap.at))
        first = number + 1
    if first <= gap.last:
        left.append(Gap(first=first, last=gap.last, begun=gap.begun, at=gap.at))
    return left
