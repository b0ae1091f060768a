"""Locks only ever take away: pure, no database."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.compiler.locks import (
    Lock,
    LockKind,
    next_change,
    without_locked,
)
from policies.compiler.types import NEVER, Facts, Snapshot
from tests.policies.compiler.build import (
    NOW,
    application,
    device,
    facts,
    grant,
    snapshot,
)
from tests.policies.compiler.strategies import policies

SOON = NOW + timedelta(minutes=5)
LATER = NOW + timedelta(hours=1)


def lock(text: str, *members: int, expires: timedelta | None = None) -> Lock:
    """Return the lock on `gr_4`, whose members are these."""
    kind, _, number = text.partition("_")
    return Lock(
        kind=LockKind(kind),
        id=int(number),
        expires_at=NEVER if expires is None else NOW + expires,
        members=frozenset(members),
    )


def company() -> Facts:
    """Users 1 and 2 are in group 1; 3 is granted by name. Device 4 is 3's second."""
    return facts(
        devices=[device(1), device(2), device(3), device(4, user=3)],
        memberships=[(1, 1), (2, 1)],
        applications=[
            application(1, "10.1.0.0/24 tcp 443"),
            application(2, "10.2.0.0/24 any"),
        ],
        grants=[grant(1, "gr_1", 1), grant(2, "us_3", 1), grant(3, "us_3", 2)],
    )


def rights(found: Snapshot) -> frozenset[tuple[int, int]]:
    """Return which device reaches which application."""
    members = {entry.subject: entry.device_ids for entry in found.subjects}
    return frozenset(
        (device_id, entry.application_id)
        for entry in found.grants
        for device_id in members[entry.subject]
    )


WHOLE = {(1, 1), (2, 1), (3, 1), (4, 1), (3, 2), (4, 2)}


@pytest.mark.parametrize(
    ("locked", "left"),
    [
        (lock("us_3"), {(1, 1), (2, 1)}),
        (lock("us_1"), WHOLE - {(1, 1)}),
        (lock("dv_4"), WHOLE - {(4, 1), (4, 2)}),
        (lock("gr_1", 1, 2), {(3, 1), (4, 1), (3, 2), (4, 2)}),
        (lock("ap_1"), {(3, 2), (4, 2)}),
        (lock("gw_1"), set()),
        (lock("gw_2"), WHOLE),
        (lock("us_9"), WHOLE),
    ],
    ids=["user", "member", "device", "group", "app", "gateway", "elsewhere", "nobody"],
)
def test_what_is_locked_leaves_the_snapshot(
    locked: Lock, left: set[tuple[int, int]]
) -> None:
    found = snapshot(without_locked(company(), [locked], now=NOW))
    assert rights(found) == left
    assert {peer.device_id for peer in found.peers} == {pair[0] for pair in left}


def test_lock_on_a_group_that_is_granted_nothing_stops_its_members() -> None:
    found = snapshot(without_locked(company(), [lock("gr_7", 3)], now=NOW))
    assert rights(found) == {(1, 1), (2, 1)}


def test_group_of_the_same_number_as_a_locked_user_is_not_locked() -> None:
    found = without_locked(company(), [lock("us_1")], now=NOW)
    assert grant(1, "gr_1", 1) in found.grants


def test_without_locks_the_facts_are_the_same() -> None:
    assert without_locked(company(), [], now=NOW) == company()


@pytest.mark.parametrize(("seconds", "is_locked"), [(-1, True), (0, False), (1, False)])
def test_a_lock_ends_at_its_end(seconds: int, is_locked: bool) -> None:
    locks = [lock("gw_1", expires=timedelta(minutes=5))]
    at = SOON + timedelta(seconds=seconds)
    assert (without_locked(company(), locks, now=at).grants == ()) is is_locked


def test_keys_that_are_revoked_stay_known_on_a_locked_gateway() -> None:
    given_ = facts(revoked_keys=["k"])
    assert without_locked(given_, [lock("gw_1")], now=NOW).revoked_keys == ("k",)


def test_next_change_is_the_first_end_of_a_lock_or_of_a_grant() -> None:
    ending = facts(
        devices=[device(1)],
        applications=[application(1, "10.1.0.0/24 any")],
        grants=[grant(1, "us_1", 1, expires_at=LATER)],
    )
    past, soon = timedelta(-1), timedelta(minutes=5)
    assert next_change(ending, [], now=NOW) == LATER
    assert next_change(ending, [lock("us_9", expires=soon)], now=NOW) == SOON
    assert next_change(ending, [lock("us_9", expires=past)], now=NOW) == LATER
    assert next_change(company(), [lock("us_9")], now=NOW) is None


locks = st.builds(
    lambda kind, number, members, expires: Lock(
        kind=kind,
        id=number,
        expires_at=expires,
        members=members if kind is LockKind.GROUP else frozenset(),
    ),
    st.sampled_from(LockKind),
    st.integers(1, 6),
    st.frozensets(st.integers(1, 5), max_size=3),
    st.sampled_from((NEVER, SOON, NOW)),
)


@given(policies(), st.lists(locks, max_size=3), locks)
def test_adding_a_lock_never_adds_access(
    policy: Facts, before: list[Lock], added: Lock
) -> None:
    had = snapshot(without_locked(policy, before, now=NOW))
    has = snapshot(without_locked(policy, [*before, added], now=NOW))
    assert rights(has) <= rights(had)
    assert {peer.device_id for peer in has.peers} <= {p.device_id for p in had.peers}


@given(policies(), st.lists(locks, max_size=3))
def test_order_of_locks_never_matters(policy: Facts, given_: list[Lock]) -> None:
    found = {
        snapshot(without_locked(policy, order, now=NOW))
        for order in permutations(given_)
    }
    assert len(found) == 1
