"""Rules of reach and of what changed. Pure: no database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from policies.compiler.reach import Change, Way, changes, ways_of, ways_to
from policies.compiler.types import NEVER, Snapshot
from tests.policies.compiler.build import (
    NOW,
    application,
    destination,
    device,
    facts,
    grant,
    snapshot,
)
from tests.policies.compiler.examples import EVENING, SESSION, company, office

OWNERS = {1: 1, 7: 1, 2: 2, 3: 3}
LATER = NOW + timedelta(hours=1)


def other_gateway(found: Snapshot) -> Snapshot:
    return replace(found, audience="gw_2")


def test_everybody_whom_a_grant_holds_reaches_its_application() -> None:
    found = ways_to([snapshot(company())], 1, at=NOW)
    assert [(way.device_id, way.grants) for way in found] == [
        (1, (10,)),
        (2, (10,)),
        (7, (10,)),
    ]


def test_an_application_nobody_holds_is_reached_by_nobody() -> None:
    assert ways_to([snapshot(company())], 99, at=NOW) == ()


def test_what_the_kernel_has_ended_is_not_reached() -> None:
    then = [snapshot(company())]
    assert [way.device_id for way in ways_to(then, 2, at=NOW)] == [1, 7]
    assert ways_to(then, 2, at=EVENING) == ()
    assert [way.application_id for way in ways_of(then, {3}, at=SESSION)] == []


def test_what_a_device_reaches_ends_with_its_session_or_its_last_grant() -> None:
    assert ways_of([snapshot(company())], {3}, at=NOW) == (
        Way(
            device_id=3,
            application_id=3,
            gateways=(1,),
            grants=(14,),
            expires_at=SESSION,
        ),
        Way(
            device_id=3,
            application_id=4,
            gateways=(1,),
            grants=(13,),
            expires_at=SESSION,
        ),
    )


def test_ways_through_several_gateways_and_grants_are_one() -> None:
    given = facts(
        devices=[device(1)],
        memberships=[(1, 4)],
        applications=[application(1, "10.0.0.0/24 tcp 443")],
        grants=[grant(1, "us_1", 1, expires_at=LATER), grant(2, "gr_4", 1)],
    )
    one = snapshot(given)
    [way] = ways_of([one, other_gateway(one)], [1], at=NOW)
    assert (way.gateways, way.grants, way.expires_at) == ((1, 2), (1, 2), NEVER)


def test_a_reduced_snapshot_may_lack_a_grants_subject() -> None:
    bare = replace(snapshot(company()), subjects=())
    assert ways_to([bare], 1, at=NOW) == ()
    [*lost] = changes(
        [snapshot(company())], [bare], owners=OWNERS, since=NOW, until=NOW
    )
    assert [change.lost for change in lost] == [(1, 2), (1,), (1, 2, 3), (3,)]


def test_nothing_changes_between_equal_snapshots() -> None:
    then = snapshot(company())
    assert (
        changes([then], [other_gateway(then)], owners=OWNERS, since=NOW, until=NOW)
        == ()
    )


def test_who_gains_and_who_loses_is_told_by_application() -> None:
    before = company()
    after = replace(before, memberships=((1, 4), (3, 4)))
    found = changes(
        [snapshot(before)], [snapshot(after)], owners=OWNERS, since=NOW, until=NOW
    )
    assert found == (
        Change(application_id=1, gained=(3,), lost=(2,), opened=(), closed=()),
        Change(application_id=3, gained=(), lost=(2,), opened=(), closed=()),
    )


def test_a_second_device_gains_its_owner_nothing() -> None:
    before = company()
    after = replace(before, devices=before.devices[:-1])
    assert (
        changes(
            [snapshot(before)], [snapshot(after)], owners=OWNERS, since=NOW, until=NOW
        )
        == ()
    )


def test_time_alone_is_a_change() -> None:
    then = [snapshot(company())]
    [change] = changes(then, then, owners=OWNERS, since=NOW, until=EVENING)
    assert (change.application_id, change.lost) == (2, (1,))


def test_destinations_that_open_and_close_are_told() -> None:
    before = facts(
        devices=[device(1)],
        applications=[application(1, "10.0.0.0/24 tcp 443")],
        grants=[grant(1, "us_1", 1)],
    )
    after = replace(before, applications=(application(1, "10.0.0.0/24 tcp 80"),))
    [change] = changes(
        [snapshot(before)], [snapshot(after)], owners={1: 1}, since=NOW, until=NOW
    )
    assert change.opened == (destination("10.0.0.0/24 tcp 80"),)
    assert change.closed == (destination("10.0.0.0/24 tcp 443"),)


def test_a_device_nobody_is_known_to_own_changes_nothing() -> None:
    then = snapshot(company())
    found = changes([], [then], owners={1: 1}, since=NOW, until=NOW)
    assert [change.gained for change in found] == [(1,), (1,), (1,), ()]


def test_what_a_device_does_not_hold_it_does_not_reach() -> None:
    then = [snapshot(office())]
    assert [(w.device_id, w.expires_at) for w in ways_to(then, 2, at=NOW)] == [
        (1, NOW + timedelta(hours=5))
    ]
    assert [way.device_id for way in ways_to(then, 3, at=NOW)] == [1, 2]
    owners = {1: 1, 2: 2, 3: 3, 7: 1}
    unapproved = replace(
        office(), devices=tuple(replace(d, is_approved=False) for d in office().devices)
    )
    found = changes(then, [snapshot(unapproved)], owners=owners, since=NOW, until=NOW)
    assert {c.application_id: c.lost for c in found} == {2: (1,), 3: (1, 2)}


def test_a_proof_that_grew_too_old_reaches_nothing() -> None:
    lasting = replace(
        office(),
        grants=tuple(replace(g, hours=None) for g in office().grants if g.id == 31),
    )
    then = [snapshot(lasting)]
    until = NOW + timedelta(hours=7)
    assert [way.expires_at for way in ways_to(then, 2, at=NOW)] == [until]
    assert ways_to(then, 2, at=until) == ()
