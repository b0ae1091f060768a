"""What a filter finds, by hour or by day; nothing is left out and gaps are shown."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit import services
from audit.actor import Actor
from audit.errors import FilterError
from audit.events import EventCode
from audit.models import Connection, FlowKind
from audit.search.filters import Filter
from audit.search.timelines import DAY, HOUR, buckets, merged, moment_of, period
from tests.audit.conftest import ALICE, GATEWAY, NOON, MakeFlow

pytestmark = pytest.mark.django_db
NOW = NOON + timedelta(days=1)


@pytest.fixture
def flows(make_flow: MakeFlow) -> None:
    """One allowed at noon, one denied two hours later, one of yesterday."""
    times = (timedelta(), timedelta(hours=2), timedelta(days=-1))
    kinds = (FlowKind.CLOSE, FlowKind.DENY, FlowKind.OPEN)
    told = [
        make_flow(
            kind,
            number,
            flow=f"f{number}",
            at=NOON + time,
            started_at=NOON + time,
        )
        for number, (kind, time) in enumerate(zip(kinds, times, strict=True), start=1)
    ]
    services.record_flows(gateway=GATEWAY, flows=told, now=NOW)


@pytest.mark.usefixtures("flows")
def test_hours_are_counted_and_empty_hours_are_there() -> None:
    filters = Filter(person=ALICE.id, since=NOON, until=NOON + timedelta(hours=3))
    found = buckets(filters, period(filters, NOW))
    assert [(row.allowed, row.denied) for row in found] == [(1, 0), (0, 0), (0, 1)]
    assert [row.at for row in found] == [NOON + hour * HOUR for hour in range(3)]
    assert (found[0].bytes_up, found[0].bytes_down) == (1000, 2000)


@pytest.mark.usefixtures("flows")
def test_a_longer_period_is_counted_by_day() -> None:
    filters = Filter(person=ALICE.id)
    over = period(filters, NOW)
    found = buckets(filters, over)
    assert over.bucket == DAY
    assert sum(row.allowed for row in found) == 2
    assert len(found) == 8


@pytest.mark.usefixtures("flows")
def test_nobody_elses_connections_are_counted() -> None:
    filters = Filter(person="us_2", since=NOON)
    found = buckets(filters, period(filters, NOW))
    assert {(row.allowed, row.denied) for row in found} == {(0, 0)}


@pytest.mark.parametrize(
    "filters",
    [
        Filter(since=NOW + HOUR),
        Filter(since=NOW - timedelta(days=100), until=NOW),
    ],
    ids=["not begun", "too long"],
)
def test_a_period_that_cannot_be_counted_is_refused(filters: Filter) -> None:
    with pytest.raises(FilterError):
        period(filters, NOW)


def test_a_period_ends_now_at_the_latest() -> None:
    over = period(Filter(since=NOON, until=NOW + DAY), NOW)
    assert over.until == NOW


@pytest.mark.usefixtures("flows")
def test_both_logs_stand_together_newest_first(actor: Actor) -> None:
    at = NOON + timedelta(hours=1)
    services.record(EventCode.USER_LOGIN, actor=actor, now=at, person=ALICE)
    found = merged(Filter(person=ALICE.id))
    kinds = [isinstance(row, Connection) for row in found]
    assert kinds == [True, False, True, True]
    assert [*map(moment_of, found)] == sorted(map(moment_of, found), reverse=True)
