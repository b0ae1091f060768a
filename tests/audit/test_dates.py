"""What is dated too early or too late is named. No database."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.dates import BOUND, Dates, moments
from audit.leaves import moment
from audit.tlog.report import INCOMPLETE, TAMPERED
from tests.audit.conftest import NOON

HOUR = timedelta(seconds=BOUND)
SECOND = timedelta(seconds=1)
SKEWS = st.lists(st.floats(-BOUND / 2, BOUND / 2), max_size=30)


def event(at: datetime) -> bytes:
    return json.dumps({"t": moment(at), "v": 1}).encode()


def flow(at: datetime, received: datetime, gateway: str = "gw_1") -> bytes:
    told = {"gateway": gateway, "received": moment(received), "t": moment(at)}
    return json.dumps(told).encode()


def heard(*leaves: bytes, sealed: tuple[tuple[int, datetime], ...] = ()) -> Dates:
    history = [{"size": size, "at": moment(at)} for size, at in sealed]
    dates = Dates(name="control", history=history)
    for begin in range(0, len(leaves), 2):
        dates.hear(begin, [moments(leaf) for leaf in leaves[begin : begin + 2]])
    return dates


def named(
    *leaves: bytes, sealed: tuple[tuple[int, datetime], ...] = ()
) -> list[tuple[int | None, int | None, str]]:
    faults = heard(*leaves, sealed=sealed).faults
    return [(fault.index, fault.until, fault.message) for fault in faults]


def test_g05_back_dated_leaf_is_named_with_the_one_it_contradicts() -> None:
    found = named(event(NOON), event(NOON - HOUR - SECOND), event(NOON + SECOND))
    text = "dated more than an hour before leaf 0, which was sealed earlier"
    assert found == [(1, 2, text)]


@pytest.mark.parametrize("late", [timedelta(0), HOUR], ids=str)
def test_transaction_that_commits_late_is_no_fault(late: timedelta) -> None:
    assert named(event(NOON), event(NOON - late)) == []


def test_log_that_was_silent_is_no_fault() -> None:
    assert named(event(NOON), event(NOON + timedelta(days=400))) == []


def test_leaves_in_a_row_are_one_fault() -> None:
    early = NOON - timedelta(days=1)
    found = named(event(NOON), event(early), event(early + SECOND), event(NOON))
    assert [(begin, until) for begin, until, _ in found] == [(1, 3)]


def test_dates_that_creep_back_are_found() -> None:
    step = timedelta(minutes=50)
    found = named(*(event(NOON - number * step) for number in range(4)))
    assert [(begin, until) for begin, until, _ in found] == [(2, 4)]


def test_leaf_of_the_future_is_named_and_not_those_after_it() -> None:
    sealed = ((1, NOON), (2, NOON + SECOND), (4, NOON + HOUR))
    found = named(
        *(event(NOON), event(NOON + 2 * HOUR), event(NOON), event(NOON)),
        sealed=sealed,
    )
    assert found == [(1, 2, "dated more than an hour after it was sealed")]


def test_what_waited_for_the_sealer_is_no_fault() -> None:
    late = NOON + timedelta(days=1)
    assert named(event(NOON), event(NOON), sealed=((2, late),)) == []


def test_gateway_may_tell_late_what_it_dated_in_order() -> None:
    before = NOON - timedelta(days=3)
    leaves = (flow(NOON, NOON, "gw_1"), flow(before, NOON, "gw_2"))
    assert named(*leaves, flow(before + SECOND, NOON + SECOND, "gw_2")) == []


def test_record_that_is_dated_before_its_gateways_others_is_named() -> None:
    ((index, _, text),) = named(flow(NOON, NOON), flow(NOON - 2 * HOUR, NOON))
    assert (index, text.split(",")[0]) == (
        1,
        "dated by gw_1 more than an hour before leaf 0",
    )


def test_clock_of_a_gateway_alone_is_no_tampering() -> None:
    (fault,) = heard(flow(NOON, NOON), flow(NOON - 2 * HOUR, NOON)).faults
    assert fault.what == INCOMPLETE
    (fault,) = heard(event(NOON), event(NOON - 2 * HOUR)).faults
    assert fault.what == TAMPERED


def test_connection_that_was_received_too_early_is_named() -> None:
    before = NOON - 2 * HOUR
    ((index, _, text),) = named(flow(NOON, NOON), flow(before, before, "gw_2"))
    assert (index, "leaf 0" in text) == (1, True)


@pytest.mark.parametrize(
    "leaf",
    [b"", b"\xff", b"[]", b"{}", b'{"t":1}', b'{"t":"yesterday"}', b"[" * 9000],
    ids=lambda leaf: repr(leaf[:20]),
)
def test_leaf_without_a_date_is_passed_over(leaf: bytes) -> None:
    assert named(event(NOON), leaf, event(NOON)) == []


@given(SKEWS)
def test_clocks_that_differ_by_less_than_the_bound_are_no_fault(
    skews: list[float],
) -> None:
    leaves = [event(NOON + timedelta(seconds=skew)) for skew in skews]
    assert named(*leaves) == []


@given(SKEWS, st.integers(0, 30))
def test_one_leaf_put_in_under_another_date_is_the_one_that_is_named(
    skews: list[float], place: int
) -> None:
    leaves = [event(NOON + timedelta(seconds=skew)) for skew in [0.0, *skews]]
    place = min(place + 1, len(leaves))
    leaves.insert(place, event(NOON - 3 * HOUR))
    assert [(begin, until) for begin, until, _ in named(*leaves)] == [
        (place, place + 1)
    ]
