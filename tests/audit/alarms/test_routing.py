"""When an alarm notifies, where, and how often a channel is tried. No database."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from audit.alarms.routing import TRIES, carries, is_due_again, wait_after
from tests.audit.alarms.makers import NOW

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("notified", "acknowledged", "due"),
    [
        (None, False, True),
        (NOW - HOUR, False, True),
        (NOW - HOUR + timedelta(seconds=1), False, False),
        (NOW - HOUR, True, False),
    ],
    ids=["never", "quiet for long enough", "not yet", "acknowledged"],
)
def test_an_alarm_that_goes_on_notifies_after_its_quiet_time(
    notified: datetime | None, acknowledged: bool, due: bool
) -> None:
    found = is_due_again(
        notified_at=notified, is_acknowledged=acknowledged, quiet=HOUR, now=NOW
    )
    assert found is due


@pytest.mark.parametrize(
    ("rules", "least", "is_carried"),
    [
        (frozenset(), 1, True),
        (frozenset(), 2, True),
        (frozenset(), 3, False),
        (frozenset({"drift"}), 1, True),
        (frozenset({"log-gap"}), 1, False),
        (frozenset({"drift"}), 3, False),
    ],
)
def test_a_channel_carries_its_rules_from_its_severity_on(
    rules: frozenset[str], least: int, is_carried: bool
) -> None:
    assert (
        carries(rules=rules, least_severity=least, rule="drift", severity=2)
        is is_carried
    )


def test_tries_are_further_and_further_apart_and_end() -> None:
    waits = [wait_after(number) for number in range(1, TRIES + 1)]
    seconds = [wait.total_seconds() for wait in waits if wait is not None]
    assert seconds == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert waits[-1] is None
