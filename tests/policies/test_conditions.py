"""Conditions typed, and conditions in words. No database."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from policies.conditions import (
    Conditions,
    ConditionsInput,
    WindowInput,
    conditions_text,
    given_conditions,
    local_moment,
    parse_conditions,
    parse_window,
)
from policies.errors import InvalidGrantError

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@pytest.mark.parametrize(
    ("line", "days", "begin", "end"),
    [
        ("mon-fri 08:00-18:00", WEEK[:5], "08:00", "18:00"),
        (" Sat  22:00 – 24:00 ", ("sat",), "22:00", "24:00"),
        ("mon,wed-fri 00:00-06:30", ("mon", "wed", "thu", "fri"), "00:00", "06:30"),
    ],
)
def test_hours_are_typed_one_line_a_window(
    line: str, days: tuple[str, ...], begin: str, end: str
) -> None:
    assert parse_window(line) == WindowInput(days=days, begin=begin, end=end)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("weekdays 08:00-18:00", "'weekdays' is not a day"),
        ("mon-moon 08:00-18:00", "'mon-moon' is not a day"),
        ("sat-mon 08:00-18:00", "runs over the end of the week"),
        ("08:00-18:00", "is not written like"),
        ("mon 08:00", "is not written like"),
        ("", "is not written like"),
    ],
)
def test_other_lines_are_refused(line: str, message: str) -> None:
    with pytest.raises(InvalidGrantError, match=message):
        parse_window(line)


def test_conditions_are_said_in_words() -> None:
    given = ConditionsInput(
        time_zone="Europe/Berlin",
        windows=tuple(
            map(
                parse_window,
                ("mon-fri 08:00-12:00", "mon-fri 13:00-18:00", "sat,sun 09:00-24:00"),
            )
        ),
        max_auth_age_seconds=28_800,
        amr=("mfa", "pwd"),
        acr=("gold", "silver"),
        needs_approved_device=True,
    )
    found = parse_conditions(given)
    assert conditions_text(found) == (
        "Mondays to Fridays 08:00–12:00 and 13:00–18:00,"
        " Saturdays and Sundays 09:00–24:00 Europe/Berlin;"
        " sign-in not older than 8 hours; approved device;"
        " strong sign-in mfa and pwd, of class gold or silver"
    )
    assert parse_conditions(given_conditions(found)) == found


def test_every_day_is_said_so_and_nothing_is_nothing() -> None:
    given = ConditionsInput(
        time_zone="UTC", windows=(WindowInput(days=WEEK, begin="06:00", end="22:00"),)
    )
    assert conditions_text(parse_conditions(given)) == "every day 06:00–22:00 UTC"
    assert conditions_text(Conditions()) == ""
    assert parse_conditions(ConditionsInput()) == Conditions()


def test_a_typed_time_is_on_the_clocks_of_its_zone() -> None:
    summer = datetime(2026, 7, 1, 12, 0)  # noqa: DTZ001 -- as it is typed
    assert local_moment(summer, "Europe/Berlin") == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert local_moment(summer, "UTC") == datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "zone", "message"),
    [
        ("2026-03-29T02:30", "Europe/Berlin", "02:30 on 2026-03-29 never comes"),
        ("2026-10-25T02:30", "Europe/Berlin", "02:30 on 2026-10-25 comes twice"),
        ("2026-10-04T02:15", "Australia/Lord_Howe", "never comes"),
        ("2026-03-29T12:00", "Mars/Base", "is not the name of a time zone"),
    ],
)
def test_a_time_that_clocks_skip_or_repeat_is_refused(
    typed: str, zone: str, message: str
) -> None:
    with pytest.raises(InvalidGrantError, match=message):
        local_moment(datetime.fromisoformat(typed), zone)
