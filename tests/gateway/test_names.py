"""What host names stand for, decided without a socket or a clock."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address

import pytest

from gateway.names import (
    BATCH,
    LONGEST,
    LONGEST_RETRY,
    MOST_ADDRESSES,
    SHORTEST,
    Answer,
    Dropped,
    Names,
    Query,
    lost,
)
from policies.compiler.types import Resolved, network
from tests.gateway.world import NOW

DB4 = Query("db.example.com", 4)
DB6 = Query("db.example.com", 6)
BOUNDS = {"db.example.com": (network("10.0.0.0/8"),)}


class Known:
    """Names, and a clock that is moved."""

    def __init__(self, jitter: float = 0.0) -> None:
        """Expect one name."""
        self.names = Names(jitter=lambda: jitter)
        self.ticks = 1000.0
        self.wall = NOW
        self.names.expect(BOUNDS, ticks=self.ticks)

    def answer(self, *addresses: str, ttl: float = 60, query: Query = DB4) -> Dropped:
        """Hear an answer."""
        given = Answer(addresses=tuple(map(ip_address, addresses)), ttl=ttl)
        return self.names.answered(query, given, now=self.wall, ticks=self.ticks)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ticks += seconds
        self.wall += timedelta(seconds=seconds)

    def resolved(self) -> Resolved:
        """Return what names stand for."""
        return self.names.resolved(now=self.wall, ticks=self.ticks)

    def held(self, host: str = "db.example.com") -> list[str]:
        """Return the addresses of a name."""
        return [str(a) for a in sorted(self.resolved()[host], key=int)]

    def due(self) -> tuple[Query, ...]:
        """Return what is to be asked."""
        return self.names.due(ticks=self.ticks)


def test_a_name_is_asked_at_once_and_only_in_the_families_of_its_bounds() -> None:
    known = Known()
    assert known.due() == (DB4,)
    both = {"db.example.com": (network("10.0.0.0/8"), network("fd00::/8"))}
    known.names.expect(both, ticks=known.ticks)
    assert known.due() == (DB4, DB6)


def test_a_name_without_an_answer_stands_for_nothing() -> None:
    assert Known().resolved() == {"db.example.com": {}}


def test_an_answer_counts_until_its_ttl_has_run_out() -> None:
    known = Known()
    known.answer("10.0.0.1", ttl=60)
    known.advance(59.9)
    assert known.held() == ["10.0.0.1"]
    known.advance(0.1)
    assert known.held() == []


@pytest.mark.parametrize(
    ("ttl", "counts"), [(0, SHORTEST), (5, SHORTEST), (90, 90), (86_400, LONGEST)]
)
def test_ttls_are_kept_within_limits(ttl: float, counts: float) -> None:
    known = Known()
    known.answer("10.0.0.1", ttl=ttl)
    known.advance(counts - 0.1)
    assert known.held() == ["10.0.0.1"]
    known.advance(0.2)
    assert known.held() == []


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_a_name_is_asked_again_well_before_its_answer_ends(jitter: float) -> None:
    known = Known(jitter)
    known.answer("10.0.0.1", ttl=100)
    assert known.due() == ()
    known.advance(49)
    assert known.due() == ()
    known.advance(27)
    assert known.due() == (DB4,)
    assert known.held() == ["10.0.0.1"]


def test_a_failure_prolongs_nothing_and_takes_nothing_away() -> None:
    known = Known()
    known.answer("10.0.0.1", ttl=60)
    for _ in range(5):
        known.advance(11)
        known.names.failed(DB4, ticks=known.ticks)
        assert known.held() == ["10.0.0.1"]
    known.advance(5)
    assert known.held() == []


def test_an_empty_answer_takes_nothing_away_before_its_time() -> None:
    known = Known()
    known.answer("10.0.0.1", ttl=60)
    known.advance(30)
    known.answer(ttl=300)
    assert known.held() == ["10.0.0.1"]
    known.advance(30)
    assert known.held() == []


def test_addresses_that_rotate_count_each_for_its_own_time() -> None:
    known = Known()
    known.answer("10.0.0.1", ttl=60)
    known.advance(30)
    known.answer("10.0.0.2", ttl=60)
    assert known.held() == ["10.0.0.1", "10.0.0.2"]
    known.advance(30)
    assert known.held() == ["10.0.0.2"]


def test_failures_are_retried_ever_more_slowly() -> None:
    known, pauses = Known(1.0), []
    for _ in range(12):
        known.names.failed(DB4, ticks=known.ticks)
        pause = known.names.pause(ticks=known.ticks)
        assert pause is not None
        pauses.append(pause)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (2.0, LONGEST_RETRY)


def test_an_answer_ends_a_row_of_failures() -> None:
    known = Known(1.0)
    for _ in range(5):
        known.names.failed(DB4, ticks=known.ticks)
    known.answer(ttl=30)
    known.names.failed(DB4, ticks=known.ticks)
    assert known.names.pause(ticks=known.ticks) == 2.0


def test_what_lies_outside_the_bound_is_dropped_and_counted() -> None:
    known = Known()
    assert known.answer("10.0.0.1", "192.0.2.1", "8.8.8.8") == Dropped(outside=2)
    assert known.held() == ["10.0.0.1"]


def test_what_is_nobody_s_to_grant_is_dropped_and_counted() -> None:
    known = Known()
    known.names.expect({"db.example.com": (network("0.0.0.0/0"),)}, ticks=known.ticks)
    dropped = known.answer("127.0.0.1", "169.254.169.254", "10.0.0.1")
    assert dropped == Dropped(forbidden=2)
    assert known.held() == ["10.0.0.1"]


def test_an_answer_of_the_other_family_is_no_answer() -> None:
    known = Known()
    assert not known.answer("fd00::1")
    assert known.held() == []


def test_a_name_has_no_more_than_so_many_addresses() -> None:
    known = Known()
    known.answer("10.9.9.9", ttl=30)
    many = [f"10.0.{n // 250}.{n % 250 + 1}" for n in range(MOST_ADDRESSES + 5)]
    assert known.answer(*reversed(many), ttl=60) == Dropped(surplus=6)
    assert known.held() == many[:MOST_ADDRESSES]


def test_a_round_is_limited_and_begins_with_what_is_longest_due() -> None:
    names = Names(jitter=lambda: 0.0)
    bounds = {f"h{n:03}.example.com": (network("10.0.0.0/8"),) for n in range(100)}
    names.expect(bounds, ticks=0)
    first = names.due(ticks=1)
    assert len(first) == BATCH
    for query in first:
        names.failed(query, ticks=1)
    assert len(set(first) & set(names.due(ticks=1.5))) == 0


def test_names_that_left_the_policy_are_forgotten() -> None:
    known = Known()
    known.answer("10.0.0.1")
    known.names.expect({}, ticks=known.ticks)
    assert known.resolved() == {}
    assert known.names.pause(ticks=known.ticks) is None
    assert not known.answer("10.0.0.1")
    known.names.failed(DB4, ticks=known.ticks)
    assert known.resolved() == {}


def test_a_narrower_bound_drops_what_is_outside_and_asks_again() -> None:
    known = Known()
    known.answer("10.0.0.1", "10.1.0.1")
    known.names.expect({"db.example.com": (network("10.1.0.0/16"),)}, ticks=known.ticks)
    assert known.held() == ["10.1.0.1"]
    assert known.due() == (DB4,)


def test_another_name_in_the_policy_leaves_this_one_alone() -> None:
    known = Known()
    known.answer("10.0.0.1")
    more = {**BOUNDS, "www.example.com": (network("10.0.0.0/8"),)}
    known.names.expect(more, ticks=known.ticks)
    assert known.due() == (Query("www.example.com", 4),)
    assert known.held() == ["10.0.0.1"]


def test_what_was_known_before_a_restart_counts_until_it_ends() -> None:
    names = Names(jitter=lambda: 0.0)
    remembered: Resolved = {
        "db.example.com": {
            ip_address("10.0.0.1"): NOW + timedelta(seconds=20),
            ip_address("10.0.0.2"): NOW - timedelta(seconds=1),
            ip_address("10.0.0.3"): NOW + timedelta(days=1),
            ip_address("192.0.2.1"): NOW + timedelta(seconds=20),
        }
    }
    names.recall(remembered, now=NOW, ticks=0)
    names.expect(BOUNDS, ticks=0)
    found = names.resolved(now=NOW, ticks=0)["db.example.com"]
    assert {str(address): (end - NOW).seconds for address, end in found.items()} == {
        "10.0.0.1": 20,
        "10.0.0.3": int(LONGEST),
    }


def test_a_clock_that_is_set_back_prolongs_nothing() -> None:
    known = Known()
    known.answer("10.0.0.1", ttl=60)
    known.wall -= timedelta(hours=1)
    known.ticks += 30
    (end,) = known.resolved()["db.example.com"].values()
    assert end <= known.wall + timedelta(seconds=31)
    known.ticks += 30
    assert known.held() == []


def test_a_clock_that_is_set_forward_ends_it() -> None:
    known = Known()
    known.answer("10.0.0.1", ttl=60)
    known.wall += timedelta(hours=1)
    assert known.held() == []


def test_an_address_is_lost_when_a_name_has_it_no_more() -> None:
    one, other = ip_address("10.0.0.1"), ip_address("10.0.0.2")
    before: Resolved = {"a.b": {one: NOW, other: NOW}, "c.d": {one: NOW}}
    assert lost(before, before) == frozenset()
    assert lost(before, {"a.b": {one: NOW}, "c.d": {one: NOW}}) == {other}
    assert lost(before, {"a.b": {one: NOW, other: NOW}}) == {one}
