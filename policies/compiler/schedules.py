"""Weekly hours asked about a moment: open, until when, and when again. Pure.

Rules this module keeps:

* Hours follow the wall clock through daylight saving. An hour that the clocks skip
  never comes; one that they repeat counts both times.
* Windows that touch are one stretch, also over midnight.
* A zone is a `tzinfo` that somebody else looked up: nothing is read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

from policies.compiler.conditions import DAYS, Hours, Schedule, Window
from policies.compiler.types import NEVER

_DAY: Final = timedelta(days=1)
_DAY_SECONDS: Final = 86_400
_SECOND: Final = timedelta(seconds=1)


def is_open(hours: Hours, moment: datetime) -> bool:
    """Return whether a moment lies in the hours."""
    local = moment.astimezone(hours.zone)
    day, clock = local.weekday(), local.time()
    return any(
        day in window.days
        and window.begin <= clock
        and (window.end is None or clock < window.end)
        for window in hours.schedule.windows
    )


def closes_at(hours: Hours, moment: datetime) -> datetime:
    """Return when hours that are open at `moment` close, or `NEVER`."""
    if _is_always(hours.schedule):
        return NEVER
    return next(edge for edge in _edges(hours, moment) if not is_open(hours, edge))


def opens_at(hours: Hours, moment: datetime) -> datetime:
    """Return when hours that are closed at `moment` open next."""
    return next(edge for edge in _edges(hours, moment) if is_open(hours, edge))


def _is_always(schedule: Schedule) -> bool:
    """Return whether the windows leave no gap in the week."""
    return all(_is_whole(schedule, day) for day in range(len(DAYS)))


def _is_whole(schedule: Schedule, day: int) -> bool:
    """Return whether the windows cover a day."""
    reached = 0
    spans = [_span(window) for window in schedule.windows if day in window.days]
    for first, end in sorted(spans):
        if first <= reached:
            reached = max(reached, end)
    return reached == _DAY_SECONDS


def _span(window: Window) -> tuple[int, int]:
    """Return a window in seconds of its day."""
    end = _DAY_SECONDS if window.end is None else _seconds(window.end)
    return _seconds(window.begin), end


def _seconds(clock: time) -> int:
    """Return how many seconds a clock shows since midnight."""
    return clock.hour * 3600 + clock.minute * 60


def _edges(hours: Hours, moment: datetime) -> Iterator[datetime]:
    """Yield every moment after `moment` at which the hours may open or close."""
    clocks = {time(0)}
    for window in hours.schedule.windows:
        clocks |= {window.begin, window.end or time(0)}
    begin = moment.astimezone(UTC)
    while True:
        yield from _edges_between(hours.zone, clocks, begin, begin + _DAY)
        begin += _DAY


def _edges_between(
    zone: tzinfo, clocks: Iterable[time], begin: datetime, end: datetime
) -> Iterator[datetime]:
    """Yield when clocks show these times, and when they are set, in (begin, end]."""
    if _offset(zone, begin) == _offset(zone, end):
        yield from _edges_by(_offset(zone, begin), clocks, begin, end)
        return
    change = _change(zone, begin, end)
    yield from _edges_by(_offset(zone, begin), clocks, begin, change - _SECOND)
    yield change
    yield from _edges_by(_offset(zone, end), clocks, change, end)


def _edges_by(
    offset: timedelta, clocks: Iterable[time], begin: datetime, end: datetime
) -> Iterator[datetime]:
    """Yield when clocks so far from UTC show these times, in (begin, end]."""
    first, last = (begin + offset).date(), (end + offset).date()
    days = [first + n * _DAY for n in range((last - first).days + 1)]
    yield from sorted(
        edge
        for day in days
        for clock in clocks
        if begin < (edge := datetime.combine(day, clock, UTC) - offset) <= end
    )


def _change(zone: tzinfo, begin: datetime, end: datetime) -> datetime:
    """Return the second at which the clocks are set between two moments."""
    before = _offset(zone, begin)
    low, high = 0, int((end - begin) / _SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, begin + middle * _SECOND) == before:
            low = middle
        else:
            high = middle
    return begin.replace(microsecond=0) + high * _SECOND


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    """Return how far the clocks of a zone are from UTC at a moment."""
    return moment.astimezone(zone).replace(tzinfo=UTC) - moment
