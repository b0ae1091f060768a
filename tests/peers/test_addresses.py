"""Which address is next. No database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.addresses import candidates, next_address, rests_until


def offered(prefix: str, after: str | None = None, limit: int = 50) -> list[str]:
    """Return the first candidates as text."""
    last = ip_address(after) if after else None
    found = candidates(ip_network(prefix), after=last)
    return [str(address) for address in islice(found, limit)]


def test_network_first_and_broadcast_are_never_offered() -> None:
    assert offered("10.0.0.0/29") == [f"10.0.0.{n}" for n in range(2, 7)]


def test_ipv6_has_no_broadcast_but_keeps_network_and_first() -> None:
    assert offered("fd00::/126") == ["fd00::2", "fd00::3"]


@pytest.mark.parametrize("prefix", ["10.0.0.0/31", "10.0.0.0/32", "fd00::/127"])
def test_a_prefix_without_room_offers_nothing(prefix: str) -> None:
    assert offered(prefix) == []


def test_the_next_follows_the_last_leased() -> None:
    assert offered("10.0.0.0/29", "10.0.0.3", limit=1) == ["10.0.0.4"]


def test_ipv4_begins_again_at_its_end() -> None:
    assert offered("10.0.0.0/29", "10.0.0.6") == [f"10.0.0.{n}" for n in range(2, 7)]


def test_ipv4_looks_behind_the_last_leased_too() -> None:
    assert offered("10.0.0.0/29", "10.0.0.4")[2:] == [
        "10.0.0.2",
        "10.0.0.3",
        "10.0.0.4",
    ]


def test_ipv6_never_looks_behind() -> None:
    assert offered("fd00::/125", "fd00::6") == ["fd00::7"]


@pytest.mark.parametrize("after", ["10.0.9.1", "10.0.0.0", "fd00::5"])
def test_an_address_from_elsewhere_starts_at_the_beginning(after: str) -> None:
    assert offered("10.0.0.0/29", after, limit=1) == ["10.0.0.2"]


def test_blocked_addresses_are_passed_over() -> None:
    blocked = {ip_address("10.0.0.2"), ip_address("10.0.0.3")}
    found = next_address(ip_network("10.0.0.0/29"), after=None, blocked=blocked)
    assert str(found) == "10.0.0.4"


def test_a_full_prefix_has_no_next_address() -> None:
    blocked = {ip_address(f"10.0.0.{n}") for n in range(2, 7)}
    assert next_address(ip_network("10.0.0.0/29"), after=None, blocked=blocked) is None


@given(taken=st.sets(st.integers(0, 31)), after=st.none() | st.integers(0, 40))
def test_the_next_address_is_free_and_usable(
    taken: set[int], after: int | None
) -> None:
    base = int(ip_address("10.0.0.0"))
    blocked = {ip_address(base + number) for number in taken}
    last = None if after is None else ip_address(base + after)
    found = next_address(ip_network("10.0.0.0/27"), after=last, blocked=blocked)
    free = set(range(2, 31)) - taken
    assert (found is None) == (not free)
    assert found is None or int(found) - base in free


def test_ipv4_rests_for_90_days_and_ipv6_for_ever() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert rests_until(
        ip_address("10.0.0.2"), released_at=moment
    ) == moment + timedelta(days=90)
    assert rests_until(ip_address("fd00::2"), released_at=moment) is None
