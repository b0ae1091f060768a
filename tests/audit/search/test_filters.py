"""Query strings become filters, or say what is wrong with them. No database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from audit.errors import FilterError
from audit.events import EventCode, Outcome, Severity
from audit.search.filters import (
    Cursor,
    Decision,
    Filter,
    connection_filter,
    event_filter,
    parse_cursor,
    with_period,
)

DAY = datetime(2026, 5, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("person=&port=%20&cursor=x&format=csv", {}),
        ("person=us_7&device=dv_1", {"person": "us_7", "device": "dv_1"}),
        ("key=ab%3Acd%2F%3D", {"key": "ab:cd/="}),
        ("application=ap_3&gateway=gw_1", {"application": "ap_3", "gateway": "gw_1"}),
        ("address=10.0.0.1", {"address": "10.0.0.1"}),
        ("address=FD5E::0001", {"address": "fd5e::1"}),
        ("port=443", {"port": 443}),
        ("verdict=Denied", {"verdict": Decision.DENIED}),
        ("from=2026-05-03", {"since": DAY}),
        ("from=2026-05-03T02:00%2B02:00", {"since": DAY}),
        ("from=2026-05-03T02:00+02:00", {"since": DAY}),
        ("from=2026-05-03T00:00", {"since": DAY}),
        ("from=2026-05-03 00:00", {"since": DAY}),
        ("until=2026-05-02", {"until": DAY}),
        ("q=Alice+O'Neill", {"words": "alice o neill"}),
        ("address=10.20.0.0/16", {"address": "10.20.0.0/16"}),
        ("address=10.20.0.7/32", {"address": "10.20.0.7"}),
        ("address=fd00::/8", {"address": "fd00::/8"}),
        ("until=2026-05-03T00:00Z", {"until": DAY}),
    ],
)
def test_connection_filter_says_what_was_asked(
    query: str, expected: dict[str, Any]
) -> None:
    found = connection_filter(parse_qs(query, keep_blank_values=True))
    assert found == Filter(**expected)
    assert connection_filter(parse_qs(found.query_string())) == found


def test_event_filter_knows_codes_outcomes_and_requests() -> None:
    found = event_filter(parse_qs("code=dv012&outcome=w&request=5f-1&severity=alert"))
    assert found == Filter(
        code=EventCode.DEVICE_REVOKE,
        outcome=Outcome.REFUSED,
        request="5f-1",
        severity=Severity.ALERT,
    )
    assert event_filter(parse_qs(found.query_string())) == found


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("person=7", "person"),
        ("person=us_0", "person"),
        ("person=us_1;drop", "person"),
        ("device=dv_1%00", "device"),
        ("key=a'b", "key"),
        ("address=10.0.0", "address"),
        ("address=10.0.0.1/24", "address"),
        ("address=10.0.0.0/33", "address"),
        ("address=fe80::%25eth0/64", "address"),
        ("q=!!", "q"),
        (f"q={'a ' * 9}", "q"),
        (f"q={'a' * 201}", "q"),
        ("address=fe80::1%25eth0", "address"),
        ("port=0", "port"),
        ("port=65536", "port"),
        ("port=%2B80", "port"),
        ("port=²", "port"),
        ("verdict=maybe", "verdict"),
        ("from=yesterday", "from"),
        ("from=0001-01-01T00:00%2B14:00", "from"),
        ("until=9999-12-31", "until"),
        ("from=2026-05-03&until=2026-05-02", "until"),
        ("person=us_1&person=us_2", "person"),
        ("colour=red", "colour"),
        ("code=DV012", "code"),
        ("since=2026-05-03", "since"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(query: str, parameter: str) -> None:
    with pytest.raises(FilterError) as refused:
        connection_filter(parse_qs(query))
    assert list(refused.value.messages) == [parameter]
    assert parameter in str(refused.value)


@pytest.mark.parametrize(
    "query", ["code=XX999", "outcome=Z", "verdict=denied", "severity=bad"]
)
def test_event_filter_refuses_what_it_does_not_know(query: str) -> None:
    with pytest.raises(FilterError):
        event_filter(parse_qs(query))


@pytest.mark.parametrize("at", [None, DAY.replace(microsecond=123456)])
@pytest.mark.parametrize("newer", [True, False])
def test_cursor_survives_its_journey(
    at: datetime | None,
    newer: bool,
) -> None:
    cursor = Cursor(newer=newer, number=2**63 - 1, at=at)
    assert parse_cursor(str(cursor), timed=at is not None) == cursor


def test_no_cursor_is_the_newest_page() -> None:
    assert parse_cursor("", timed=True) is None


@pytest.mark.parametrize(
    "text",
    [
        "?",
        "é",
        "e30",
        "WzFd",
        "bnVsbA",
        str(Cursor(newer=False, number=1))[:-1],
        str(Cursor(newer=False, number=1)),
        str(Cursor(newer=False, number=0, at=DAY)),
        str(Cursor(newer=False, number=2**63, at=DAY)),
        "W1sxLFtdXSxbXSxbXV0",
        "WzAsIjIwMjYtMDUtMDNUMDA6MDA6MDArMDA6MDAiLCIxIl0",
    ],
)
def test_damaged_cursor_is_refused(text: str) -> None:
    with pytest.raises(FilterError, match="cursor"):
        parse_cursor(text, timed=True)


def test_a_prefix_with_host_bits_names_the_one_that_was_meant() -> None:
    with pytest.raises(FilterError, match=r"did you mean 10\.20\.0\.0/16"):
        connection_filter({"address": ["10.20.30.40/16"]})


@pytest.mark.parametrize(("last", "hours"), [("hour", 1), ("day", 24), ("week", 168)])
def test_a_period_is_fixed_when_it_is_asked(last: str, hours: int) -> None:
    query = with_period({"last": [last], "port": ["22"], "from": [""]}, DAY)
    expected = Filter(port=22, since=DAY - timedelta(hours=hours))
    assert connection_filter(query) == expected


@pytest.mark.parametrize(
    "query", ["last=year", "last=day&last=week", "last=day&from=2026-05-03"]
)
def test_a_period_that_is_none_or_one_of_two_is_refused(query: str) -> None:
    with pytest.raises(FilterError) as refused:
        with_period(parse_qs(query), DAY)
    assert list(refused.value.messages) == ["last"]


def test_without_a_period_nothing_changes() -> None:
    assert with_period({"port": ["22"]}, DAY) == {"port": ["22"]}
