"""No row is passed over or judged twice, in whatever order rows appear. No database."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audit.alarms.cursor import (
    GRACE_SECONDS,
    MOST_GAPS,
    Gap,
    Position,
    stored_position,
)

LATER = 10 * GRACE_SECONDS


def test_a_number_that_is_missing_is_a_gap() -> None:
    after = Position(last=3).after([4, 7], ended=5, begun=9, at=0)
    assert after == Position(last=7, gaps=(Gap(first=5, last=6, begun=9, at=0),))


def test_a_gap_stays_while_somebody_could_fill_it() -> None:
    position = Position(last=7, gaps=(Gap(first=5, last=6, begun=9, at=0),))
    assert position.after([], ended=8, begun=9, at=LATER) == position


def test_a_gap_is_given_up_when_nobody_could_fill_it() -> None:
    position = Position(last=7, gaps=(Gap(first=5, last=6, begun=9, at=0),))
    assert position.after([], ended=9, begun=9, at=LATER).gaps == ()


def test_a_young_gap_waits_for_those_without_a_transaction_number() -> None:
    position = Position(last=7, gaps=(Gap(first=5, last=6, begun=9, at=0),))
    young = position.after([], ended=99, begun=99, at=GRACE_SECONDS - 1)
    assert young == position


def test_what_appears_in_a_gap_leaves_the_rest_of_it() -> None:
    position = Position(last=9, gaps=(Gap(first=2, last=6, begun=9, at=0),))
    after = position.after([4], ended=1, begun=9, at=LATER)
    assert [(gap.first, gap.last) for gap in after.gaps] == [(2, 3), (5, 6)]
    assert after.last == 9


def test_more_gaps_than_can_be_noted_stop_the_reading() -> None:
    numbers = [*range(2, 2 * MOST_GAPS + 10, 2)]
    admitted = Position(last=0).admitted(numbers)
    assert admitted == numbers[:MOST_GAPS]


def test_a_position_is_stored_and_read() -> None:
    position = Position(last=7, gaps=(Gap(first=5, last=6, begun=9, at=3),))
    assert stored_position(7, position.as_json()) == position


@given(st.lists(st.lists(st.integers(1, 40), max_size=6), min_size=1, max_size=12))
def test_every_row_is_judged_once_in_whatever_order_they_appear(
    commits: list[list[int]],
) -> None:
    """Each part of `commits` becomes visible before one more reading."""
    visible: set[int] = set()
    judged: list[int] = []
    position = Position(last=0)
    for numbers in [*commits, []]:
        visible.update(numbers)
        gaps = {n for gap in position.gaps for n in range(gap.first, gap.last + 1)}
        rows = sorted(n for n in visible if n > position.last or n in gaps)
        admitted = position.admitted(rows)
        judged += admitted
        # A transaction of the beginning runs all the time.
        position = position.after(admitted, ended=1, begun=9, at=LATER)
    assert sorted(judged) == sorted(visible)
