"""Rules of weekly hours, against a reference that asks about every minute.

Pure: no database.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiler.conditions import Hours, Schedule, Window, sorted_windows
from policies.compiler.errors import InvalidValueError
from policies.compiler.schedules import closes_at, is_open, opens_at
from policies.compiler.types import NEVER

MINUTE: Final = timedelta(minutes=1)
WEEK: Final = tuple(range(7))

CHANGES: Final = {
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),  # half an hour
    "America/Havana": (date(2026, 3, 8), date(2026, 11, 1)),  # at midnight
    "Pacific/Apia": (date(2011, 12, 30), date(2011, 12, 31)),  # a day that never was
    "Asia/Kolkata": (date(2026, 3, 29),),  # no change, and no whole hour
    "UTC": (date(2026, 3, 29),),
}
"""Days on which the clocks of a zone are set, forward and back."""


def hours(zone: tzinfo | str, *windows: Window) -> Hours:
    found = ZoneInfo(zone) if isinstance(zone, str) else zone
    schedule = Schedule(time_zone=str(found), windows=sorted_windows(windows))
    return Hours(schedule=schedule, zone=found)


def window(begin: str, end: str | None, days: tuple[int, ...] = WEEK) -> Window:
    return Window(
        days=days,
        begin=time.fromisoformat(begin),
        end=time.fromisoformat(end) if end else None,
    )


def minutes(start: datetime) -> Iterator[datetime]:
    return (start + n * MINUTE for n in range(15 * 24 * 60))


def shown(given_hours: Hours, moment: datetime) -> bool:
    """Return whether the hours hold, by what the clock on the wall shows."""
    wall = moment.astimezone(given_hours.zone)
    clock = f"{wall:%H:%M}"
    return any(
        wall.weekday() in w.days
        and f"{w.begin:%H:%M}" <= clock < (f"{w.end:%H:%M}" if w.end else "24:00")
        for w in given_hours.schedule.windows
    )


def first(given_hours: Hours, start: datetime, *, is_shown: bool) -> datetime:
    return next(m for m in minutes(start) if shown(given_hours, m) is is_shown)


clocks = st.builds(time, st.integers(0, 23), st.sampled_from((0, 1, 15, 30, 59)))


@st.composite
def windows(draw: st.DrawFn) -> Window:
    days = draw(st.sets(st.integers(0, 6), min_size=1, max_size=7))
    begin, end = draw(clocks), draw(st.none() | clocks)
    if end is not None and end <= begin:
        begin, end = (end, begin) if end < begin else (begin, None)
    return Window(days=tuple(sorted(days)), begin=begin, end=end)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Hours, datetime]:
    """Draw hours and a minute within two days of a change of the clocks."""
    zone = draw(st.sampled_from(sorted(CHANGES)))
    day = draw(st.sampled_from(CHANGES[zone]))
    start = datetime.combine(day, time(0), UTC) - timedelta(days=2)
    moment = start + draw(st.integers(0, 4 * 24 * 60)) * MINUTE
    return hours(zone, *draw(st.lists(windows(), min_size=1, max_size=4))), moment


@settings(max_examples=300, deadline=None)
@given(case=cases())
def test_every_minute_is_as_the_clock_on_the_wall_shows(
    case: tuple[Hours, datetime],
) -> None:
    asked, moment = case
    assert is_open(asked, moment) == shown(asked, moment)
    if is_open(asked, moment):
        ends = closes_at(asked, moment)
        if ends == NEVER:
            assert all(shown(asked, m) for m in minutes(moment))
        else:
            assert ends == first(asked, moment, is_shown=False)
    else:
        assert opens_at(asked, moment) == first(asked, moment, is_shown=True)


@settings(max_examples=50, deadline=None)
@given(case=cases(), microseconds=st.integers(1, 59_999_999))
def test_a_moment_within_a_minute_has_the_same_end(
    case: tuple[Hours, datetime], microseconds: int
) -> None:
    asked, moment = case
    change = closes_at if is_open(asked, moment) else opens_at
    later = moment + timedelta(microseconds=microseconds)
    assert change(asked, later) == change(asked, moment)


@pytest.mark.parametrize(
    ("zone", "moment", "ends"),
    [
        # From 22:00 on one side of midnight to 02:30 on the other.
        ("Europe/Berlin", "2026-03-28T23:00+01:00", "2026-03-29T03:00+02:00"),
        ("Europe/Berlin", "2026-10-24T23:00+02:00", "2026-10-25T02:30+02:00"),
        ("Europe/Berlin", "2026-10-25T02:15+01:00", "2026-10-25T02:30+01:00"),
        ("America/New_York", "2026-03-07T23:00-05:00", "2026-03-08T03:00-04:00"),
        ("Australia/Lord_Howe", "2026-10-03T23:00+10:30", "2026-10-04T02:30+11:00"),
        ("Asia/Kolkata", "2026-03-28T23:00+05:30", "2026-03-29T02:30+05:30"),
    ],
)
def test_windows_that_touch_at_midnight_are_one_stretch(
    zone: str, moment: str, ends: str
) -> None:
    asked = hours(zone, window("22:00", None), window("00:00", "02:30"))
    assert closes_at(asked, datetime.fromisoformat(moment)) == datetime.fromisoformat(
        ends
    )


def test_a_skipped_hour_never_comes_and_the_next_week_is_named() -> None:
    asked = hours("Europe/Berlin", window("02:00", "03:00", (6,)))
    saturday = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert opens_at(asked, saturday) == datetime(2026, 4, 5, 0, tzinfo=UTC)


def test_a_week_without_a_gap_never_closes() -> None:
    asked = hours("UTC", window("00:00", "12:00"), window("11:00", None))
    assert closes_at(asked, datetime(2026, 11, 28, tzinfo=UTC)) == NEVER
    gap = hours("UTC", window("00:00", "12:00"), window("12:01", None))
    noon = datetime(2026, 11, 28, 12, tzinfo=UTC)
    assert closes_at(gap, noon - MINUTE) == noon
    assert opens_at(gap, noon) == noon + MINUTE


def test_any_clock_will_do_that_is_handed_in() -> None:
    asked = hours(timezone(timedelta(hours=5, minutes=45)), window("08:00", "09:00"))
    eight = datetime(2026, 11, 28, 2, 15, tzinfo=UTC)
    assert is_open(asked, eight)
    assert not is_open(asked, eight - timedelta(microseconds=1))
    assert closes_at(asked, eight) == eight + timedelta(hours=1)


@pytest.mark.parametrize(
    ("days", "begin", "end"),
    [
        ((), time(8), time(9)),
        ((7,), time(8), time(9)),
        ((-1,), time(8), time(9)),
        ((1, 0), time(8), time(9)),
        ((0, 0), time(8), time(9)),
        ((0,), time(9), time(8)),
        ((0,), time(8), time(8)),
        ((0,), time(8, 0, 1), time(9)),
        ((0,), time(8), time(9, 0, 0, 1)),
        ((0,), time(8, tzinfo=UTC), None),
        ((0,), time(8, fold=1), None),
    ],
)
def test_windows_that_never_hold_or_are_unclear_cannot_exist(
    days: tuple[int, ...], begin: time, end: time | None
) -> None:
    with pytest.raises(InvalidValueError):
        Window(days=days, begin=begin, end=end)


def test_a_schedule_has_a_zone_and_its_windows_in_one_order() -> None:
    morning, evening = window("08:00", "12:00"), window("18:00", None)
    late = window("18:00", "20:00")
    assert sorted_windows((evening, late, morning, late)) == (morning, late, evening)
    for zone, listed in (
        ("", (morning,)),
        ("UTC", ()),
        ("UTC", (evening, morning)),
        ("UTC", (morning, morning)),
    ):
        with pytest.raises(InvalidValueError):
            Schedule(time_zone=zone, windows=listed)
