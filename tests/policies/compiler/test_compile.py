"""Rules of compiling."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.compiler.compile import next_change
from policies.compiler.conditions import (
    ApprovedDevice,
    MaxAge,
    requirement_name,
    sorted_requirements,
)
from policies.compiler.errors import (
    InvalidValueError,
    OverlapError,
    UnknownReferenceError,
)
from policies.compiler.evaluate import verdict
from policies.compiler.snapshot import snapshot_bytes
from policies.compiler.types import NEVER, Device, Facts
from tests.policies.compiler.build import (
    NOW,
    application,
    device,
    facts,
    grant,
    hours,
    proof,
    snapshot,
    subject,
)
from tests.policies.compiler.examples import EVENING, MFA, SESSION, company, office
from tests.policies.compiler.strategies import edge_packets, policies

WIKI = application(1, "10.0.0.0/8 tcp 443")
Row = TypeVar("Row")
HOUR = timedelta(hours=1)


def peers(given_facts: Facts) -> list[int]:
    return [peer.device_id for peer in snapshot(given_facts).peers]


def test_no_grant_compiles_to_no_peer() -> None:
    compiled = snapshot(facts(devices=(device(1),), applications=(WIKI,)))
    assert compiled.peers == ()
    assert compiled.applications == ()
    assert compiled.subjects == ()


def test_only_devices_of_granted_people_become_peers() -> None:
    given_facts = facts(
        devices=(device(1), device(2), device(3)),
        memberships=((2, 4), (3, 5)),
        applications=(WIKI,),
        grants=(grant(1, "us_1", 1), grant(2, "gr_4", 1)),
    )
    assert peers(given_facts) == [1, 2]


@pytest.mark.parametrize(
    ("begins", "ends"),
    [(NOW + HOUR, NEVER), (NOW - HOUR, NOW), (NOW - 2 * HOUR, NOW - HOUR)],
    ids=["not begun", "just ended", "ended"],
)
def test_a_grant_out_of_its_time_gives_nothing(
    begins: datetime, ends: datetime
) -> None:
    late = grant(1, "us_1", 1, not_before=begins, expires_at=ends)
    given_facts = facts(devices=(device(1),), applications=(WIKI,), grants=(late,))
    assert snapshot(given_facts).grants == ()
    assert peers(given_facts) == []


def test_a_revoked_key_leaves_every_snapshot() -> None:
    given_facts = company()
    revoked = given_facts.devices[0].public_key
    assert 1 in peers(given_facts)
    assert peers(replace(given_facts, revoked_keys=(revoked,))) == [2, 3, 7]


def test_a_device_whose_session_ended_is_left_out() -> None:
    assert 3 in peers(company())
    later = snapshot(company(), now=SESSION)
    assert 3 not in [peer.device_id for peer in later.peers]


def test_a_peer_ends_with_its_session_or_its_last_grant() -> None:
    ends = {peer.device_id: peer.expires_at for peer in snapshot(company()).peers}
    assert ends == {1: NEVER, 2: NEVER, 3: SESSION, 7: NEVER}
    alone = replace(company(), memberships=())
    ends = {peer.device_id: peer.expires_at for peer in snapshot(alone).peers}
    assert ends == {1: EVENING, 3: SESSION, 7: EVENING}


def test_the_last_of_several_grants_counts() -> None:
    grants = [grant(n, "us_1", 1, expires_at=NOW + n * HOUR) for n in (2, 3, 1)]
    compiled = snapshot(
        facts(devices=(device(1),), applications=(WIKI,), grants=grants)
    )
    assert compiled.peers[0].expires_at == NOW + 3 * HOUR


def test_a_group_without_devices_is_still_a_subject() -> None:
    compiled = snapshot(facts(applications=(WIKI,), grants=(grant(1, "gr_4", 1),)))
    assert [(m.subject, m.device_ids) for m in compiled.subjects] == [
        (subject("gr_4"), ())
    ]


def test_members_are_the_devices_of_the_group() -> None:
    members = {m.subject.ref: m.device_ids for m in snapshot(company()).subjects}
    assert members == {"gr_4": (1, 2, 7), "us_1": (1, 7), "us_3": (3,)}


def test_only_granted_applications_are_told_to_the_gateway() -> None:
    given_facts = replace(company(), grants=company().grants[:1])
    assert [a.id for a in snapshot(given_facts).applications] == [1]


def test_a_grant_for_an_unserved_application_is_an_error() -> None:
    with pytest.raises(UnknownReferenceError, match="ap_9"):
        snapshot(facts(grants=(grant(1, "us_1", 9),)))


@pytest.mark.parametrize(
    "other",
    [
        device(2, addresses=("100.64.0.1",)),
        replace(device(2), public_key=device(1).public_key),
        replace(device(2), id=1),
    ],
    ids=["address", "key", "id"],
)
def test_peers_that_overlap_are_an_error(other: Device) -> None:
    grants = (grant(1, "us_1", 1), grant(2, "us_2", 1))
    with pytest.raises(OverlapError):
        snapshot(facts(devices=(device(1), other), applications=(WIKI,), grants=grants))


def test_an_address_outside_the_pools_is_an_error() -> None:
    outside = device(1, addresses=("10.9.9.9",))
    with pytest.raises(InvalidValueError, match="no pool"):
        snapshot(
            facts(
                devices=(outside,), applications=(WIKI,), grants=(grant(1, "us_1", 1),)
            )
        )


@given(policies(), st.randoms(use_true_random=False))
def test_order_of_input_never_matters(given_facts: Facts, random: Random) -> None:
    def turned(values: tuple[Row, ...]) -> tuple[Row, ...]:
        return tuple(random.sample(values, len(values)))

    shuffled = replace(
        given_facts,
        devices=turned(given_facts.devices),
        memberships=turned(given_facts.memberships),
        applications=turned(given_facts.applications),
        grants=turned(given_facts.grants),
        authentications=turned(given_facts.authentications),
        pools=turned(given_facts.pools),
    )
    assert snapshot(shuffled) == snapshot(given_facts)
    assert snapshot_bytes(snapshot(shuffled)) == snapshot_bytes(snapshot(given_facts))


@given(policies(), st.integers(0, 5))
def test_removing_a_grant_never_adds_access(given_facts: Facts, index: int) -> None:
    less = replace(
        given_facts,
        grants=tuple(g for n, g in enumerate(given_facts.grants) if n != index),
    )
    before, after = snapshot(given_facts), snapshot(less)
    for packet in edge_packets(before, seed=index, count=20):
        was, is_now = (verdict(s, packet, now=NOW) for s in (before, after))
        assert was.is_allowed or not is_now.is_allowed


def test_the_next_change_is_the_nearest_beginning_or_end() -> None:
    assert next_change(company(), now=NOW) == EVENING
    assert next_change(company(), now=EVENING) == SESSION
    assert next_change(company(), now=SESSION) is None


def test_a_grant_to_come_is_a_change_to_come() -> None:
    coming = grant(1, "us_1", 1, not_before=NOW + HOUR)
    assert next_change(facts(grants=(coming,)), now=NOW) == NOW + HOUR


def test_what_can_never_apply_changes_nothing() -> None:
    never = grant(1, "us_1", 1, not_before=NOW + HOUR, expires_at=NOW + HOUR)
    idle = device(5, expires_at=NOW + HOUR)
    assert next_change(facts(devices=(idle,), grants=(never,)), now=NOW) is None


def test_a_grant_outside_its_hours_is_not_in_the_snapshot() -> None:
    shut = grant(1, "us_1", 1, hours=hours("mon 13:00-14:00"))
    given_facts = facts(devices=(device(1),), applications=(WIKI,), grants=(shut,))
    assert snapshot(given_facts).grants == ()
    assert snapshot(given_facts).peers == ()
    assert next_change(given_facts, now=NOW) == NOW + HOUR


def test_in_its_hours_a_grant_ends_when_they_close() -> None:
    for ends, expected in ((NEVER, 2 * HOUR), (NOW + HOUR, HOUR)):
        held = grant(
            1,
            "us_1",
            1,
            expires_at=ends,
            hours=hours("mon 08:00-13:00, mon 13:00-14:00"),
        )
        given_facts = facts(devices=(device(1),), applications=(WIKI,), grants=(held,))
        compiled = snapshot(given_facts)
        assert compiled.grants[0].expires_at == NOW + expected
        assert compiled.peers[0].expires_at == NOW + expected
        assert next_change(given_facts, now=NOW) == NOW + expected


@pytest.mark.parametrize(
    ("begins", "ends", "change"),
    [
        (NOW, NOW + 20 * HOUR, NOW + 12 * HOUR),
        (NOW, NOW + 12 * HOUR, None),
        (NOW + HOUR, NEVER, NOW + 12 * HOUR),
        (NOW + 13 * HOUR, NEVER, NOW + 13 * HOUR),
        (NOW + 37 * HOUR, NEVER, NOW + 7 * 24 * HOUR + 12 * HOUR),
    ],
    ids=["next opening", "over by then", "begun by then", "in the hours", "after them"],
)
def test_the_next_change_knows_the_next_opening(
    begins: datetime, ends: datetime, change: datetime | None
) -> None:
    tuesdays = hours("tue 00:00-24:00")
    shut = grant(1, "us_1", 1, not_before=begins, expires_at=ends, hours=tuesdays)
    assert next_change(facts(grants=(shut,)), now=NOW) == change


def test_a_device_that_can_use_no_grant_is_no_peer() -> None:
    compiled = snapshot(office())
    assert [peer.device_id for peer in compiled.peers] == [1, 2, 3, 7]
    evening = snapshot(office(), now=EVENING)
    assert [peer.device_id for peer in evening.peers] == [1, 2]
    assert {peer.expires_at for peer in evening.peers} == {NEVER}


def test_a_peer_ends_with_the_last_grant_it_can_use() -> None:
    demanding = grant(1, "us_1", 1, requires=(MaxAge(seconds=3600),))
    given_facts = facts(
        devices=(device(1), device(2)),
        applications=(WIKI,),
        grants=(demanding, grant(2, "us_2", 1, requires=(MaxAge(seconds=60),))),
        proofs=(proof(1, ago=timedelta(minutes=15)), proof(2, ago=HOUR)),
    )
    (peer,) = snapshot(given_facts).peers
    assert (peer.device_id, peer.expires_at) == (1, NOW + timedelta(minutes=45))
    assert next_change(given_facts, now=NOW) == peer.expires_at


def test_holders_are_the_peers_that_hold_what_is_demanded() -> None:
    compiled = snapshot(office())
    held = {
        requirement_name(part.requirement): [h.device_id for h in part.holders]
        for part in compiled.conditions
    }
    assert held == {
        "if_age_28800": [1, 2, 7],
        "if_approved": [1, 2],
        requirement_name(MFA): [1, 7],
    }
    assert next_change(office(), now=NOW) == NOW + 5 * HOUR


def test_an_age_that_ends_is_a_change_to_come() -> None:
    given_facts = replace(office(), authentications=(proof(1, ago=timedelta(hours=7)),))
    assert next_change(given_facts, now=NOW) == NOW + HOUR


@given(policies(), st.integers(0, 5))
def test_demanding_more_never_adds_access(given_facts: Facts, index: int) -> None:
    more = replace(
        given_facts,
        grants=tuple(
            replace(g, requires=sorted_requirements((*g.requires, ApprovedDevice())))
            if n == index
            else g
            for n, g in enumerate(given_facts.grants)
        ),
    )
    before, after = snapshot(given_facts), snapshot(more)
    for packet in edge_packets(before, seed=index, count=20):
        was, is_now = (verdict(s, packet, now=NOW) for s in (before, after))
        assert was.is_allowed or not is_now.is_allowed
