"""Rules of weekly hours."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from policies.compiler.conditions import Schedule, Window
from policies.dialect.errors import UnknownNameError
from policies.dialect.schedules import is_within, window_text
from tests.policies.dialect.makers import COMPANY, grant, why

SUNDAYS = Schedule(
    time_zone="Europe/Berlin",
    windows=(Window(days=(6,), begin=time(2, 30), end=time(3, 30)),),
)


def within(text: str, schedule: Schedule = SUNDAYS) -> bool:
    return is_within(schedule, datetime.fromisoformat(text), COMPANY.zones)


@pytest.mark.parametrize(
    ("moment", "is_inside"),
    [
        ("2026-06-07T00:29:59+00:00", False),  # 02:29:59 in summer
        ("2026-06-07T00:30:00+00:00", True),
        ("2026-06-07T01:29:59+00:00", True),
        ("2026-06-07T01:30:00+00:00", False),
        ("2026-06-08T00:30:00+00:00", False),  # Monday
        ("2026-01-04T01:30:00+00:00", True),  # 02:30 in winter
        ("2026-03-29T00:59:59+00:00", False),  # 01:59:59, then clocks skip to 03:00
        ("2026-03-29T01:00:00+00:00", True),  # 03:00
        ("2026-10-25T00:30:00+00:00", True),  # 02:30, the first time
        ("2026-10-25T01:30:00+00:00", True),  # 02:30 again
    ],
)
def test_hours_follow_the_clocks_of_the_zone(moment: str, *, is_inside: bool) -> None:
    assert within(moment) == is_inside


def test_a_window_may_last_to_midnight() -> None:
    schedule = Schedule(
        time_zone="Europe/Berlin",
        windows=(Window(days=(0,), begin=time(22), end=None),),
    )
    assert within("2026-06-01T21:59:59+00:00", schedule)
    assert not within("2026-06-01T22:00:00+00:00", schedule)
    assert window_text(schedule.windows[0])["until"] == "24:00"


def test_an_unknown_zone_is_an_error() -> None:
    schedule = Schedule(time_zone="Mars/Base", windows=SUNDAYS.windows)
    with pytest.raises(UnknownNameError):
        is_within(schedule, datetime(2026, 1, 1, tzinfo=UTC), COMPANY.zones)


WINDOW = {"days": ["mon"], "from": "08:00", "until": "18:00"}


def hours(**changes: object) -> dict[str, object]:
    return {"timeZone": "UTC", "windows": [{**WINDOW, **changes}]}


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ({"windows": [WINDOW]}, "a schedule needs a timeZone"),
        ({"timeZone": "+01:00", "windows": [WINDOW]}, "'+01:00' is not the name of a"),
        ({"timeZone": "../etc", "windows": [WINDOW]}, "'../etc' is not the name of a"),
        ({"timeZone": "UTC"}, "a schedule needs windows"),
        ({"timeZone": "UTC", "windows": [{"days": ["mon"]}]}, "from is missing"),
        (hours(days=[]), "days are mon to sun, each once"),
        (hours(days=["mon", "MON"]), "days are mon to sun, each once"),
        (hours(days=["monday"]), "'monday' is not a day like mon"),
        (hours(**{"from": "8:00"}), "'8:00' is not a time of day like 08:30"),
        (hours(**{"from": "24:00"}), "'24:00' is not a time of day like 08:30"),
        (hours(until="08:00"), "a window ends on its day, after it begins"),
        (hours(until="02:00"), "a window ends on its day, after it begins"),
        (hours(zone="x"), 'unknown field "zone"'),
    ],
)
def test_schedules_that_say_too_little_are_refused(
    schedule: dict[str, object], reason: str
) -> None:
    text = why({"grants": [grant("*", "gitlab", schedule=schedule)]})
    assert text.startswith(reason)
