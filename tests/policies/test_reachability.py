"""Who can reach what, now and then, and what changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from audit.actor import SYSTEM
from audit.events import EventCode
from audit.services import record
from peers.models import Device, Gateway
from policies import services
from policies.models import Application, Grant, Snapshot
from policies.reachability import (
    ChangeKind,
    ReachRow,
    what_changed,
    what_reaches,
    who_reaches,
)
from portal.accounts.models import Group, User
from portal.accounts.services import deactivate_user
from tests.conftest import MakeUser
from tests.peers.makers import Machine
from tests.policies.makers import NOW, make_application, make_grant, publish, web
from tests.policies.test_explanations import acknowledge

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)
TOMORROW = NOW + timedelta(days=1)


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


def test_everybody_with_a_live_grant_can_reach_an_application(
    wiki: Application,
    alices_grant: Grant,
    laptop: Device,
    engineering: Group,
    bob: User,
) -> None:
    make_grant(wiki, group=engineering, expires_at=TOMORROW)
    first, second = who_reaches(wiki, NOW, now=NOW).rows
    assert first == ReachRow(
        person_id=laptop.owner_id,
        person="Alice",
        application_id=wiki.pk,
        application="wiki",
        devices=("laptop",),
        grants=("Alice → wiki", "engineering → wiki"),
        gateways=("gw1",),
        expires_at=None,
    )
    assert (second.person, second.devices, second.expires_at) == ("Bob", (), TOMORROW)


def test_who_is_disabled_reaches_nothing(
    alice: User, wiki: Application, engineering: Group
) -> None:
    make_grant(wiki, group=engineering)
    deactivate_user(user=alice, reason="left", actor=SYSTEM, now=NOW)
    assert who_reaches(wiki, NOW, now=NOW).rows == ()


@pytest.mark.usefixtures("mallory")
def test_a_grant_to_an_empty_group_is_nobodys(wiki: Application) -> None:
    empty = Group.objects.create(source="local", name="empty", created_at=NOW)
    make_grant(wiki, group=empty)
    assert who_reaches(wiki, NOW, now=NOW).rows == ()


def test_what_a_person_can_reach_is_by_application(
    alice: User, alices_grant: Grant, laptop: Device
) -> None:
    [row] = what_reaches(alice, NOW, now=NOW).rows
    assert (row.application, row.devices, row.gateways) == (
        "wiki",
        ("laptop",),
        ("gw1",),
    )


def test_the_past_is_told_from_the_snapshot_in_force(
    alice: User, bob: User, wiki: Application, alices_grant: Grant, laptop: Device
) -> None:
    [first] = publish()
    acknowledge(first, seconds=10)
    services.end_grant(grant=alices_grant, actor=SYSTEM, now=NOW + 20 * SECOND)
    [second] = publish(now=NOW + 20 * SECOND)
    acknowledge(second, seconds=30)
    during = who_reaches(wiki, NOW + 25 * SECOND, now=TOMORROW)
    assert [(row.person, row.devices) for row in during.rows] == [
        ("Alice", ("laptop",))
    ]
    assert "still enforced generation 1.1" in during.notes[0]
    assert who_reaches(wiki, NOW + 30 * SECOND, now=TOMORROW).rows == ()
    assert what_reaches(bob, NOW + 25 * SECOND, now=TOMORROW).rows == ()
    [row] = what_reaches(alice, NOW + 25 * SECOND, now=TOMORROW).rows
    assert row.application == "wiki"


def test_the_past_has_the_names_that_were_recorded_then(
    alice: User, wiki: Application, alices_grant: Grant, laptop: Device
) -> None:
    [snapshot] = publish()
    acknowledge(snapshot, seconds=1)
    record(EventCode.USER_LOGIN, actor=SYSTEM, now=NOW, person=alice.ref)
    User.objects.filter(pk=alice.pk).update(name="Alice Smith")
    Device.objects.filter(pk=laptop.pk).update(name="old laptop")
    services.update_application(
        application=wiki,
        name="Encyclopaedia",
        description="",
        destinations=[web("10.1.0.0/24")],
        gateways=list(wiki.gateways.all()),
        actor=SYSTEM,
        now=NOW + 60 * SECOND,
    )
    [row] = who_reaches(wiki, NOW + 5 * SECOND, now=TOMORROW).rows
    assert (row.person, row.application, row.devices) == ("Alice", "wiki", ("laptop",))
    wiki.refresh_from_db()
    [now] = who_reaches(wiki, TOMORROW, now=TOMORROW).rows
    assert (now.person, now.application) == ("Alice Smith", "Encyclopaedia")


def test_what_was_never_acknowledged_is_noted(
    wiki: Application, alices_grant: Grant, laptop: Device
) -> None:
    [snapshot] = publish()
    found = who_reaches(wiki, NOW + SECOND, now=TOMORROW)
    assert len(found.rows) == 1
    assert "had acknowledged nothing" in found.notes[0]
    Snapshot.objects.filter(pk=snapshot.pk).update(digest="0" * 64)
    broken = who_reaches(wiki, NOW + SECOND, now=TOMORROW)
    assert broken.rows == ()
    assert "not the one that was published" in broken.notes[0]


def test_what_changed_names_people_and_destinations(
    alice: User,
    bob: User,
    wiki: Application,
    alices_grant: Grant,
    laptop: Device,
    gw1: Gateway,
) -> None:
    [first] = publish()
    acknowledge(first, seconds=1)
    Machine().enroll(bob)
    make_grant(wiki, user=bob)
    services.end_grant(grant=alices_grant, actor=SYSTEM, now=NOW + 10 * SECOND)
    services.update_application(
        application=wiki,
        name="wiki",
        description="",
        destinations=[web("10.1.9.0/24", 80, 90)],
        gateways=[gw1],
        actor=SYSTEM,
        now=NOW + 10 * SECOND,
    )
    [second] = publish(now=NOW + 10 * SECOND)
    acknowledge(second, seconds=20)
    found = what_changed(NOW + 5 * SECOND, NOW + 25 * SECOND)
    assert [(row.kind, row.person or row.destination) for row in found.rows] == [
        (ChangeKind.OPENED, "10.1.9.0/24 tcp/80-90"),
        (ChangeKind.CLOSED, "10.1.0.0/24 tcp/443"),
        (ChangeKind.GAINED, "Bob"),
        (ChangeKind.LOST, "Alice"),
    ]
    assert found.notes == ()


@pytest.mark.parametrize("extra", [0, 5])
def test_the_answers_cost_the_same_for_many(
    extra: int,
    wiki: Application,
    alices_grant: Grant,
    laptop: Device,
    gw1: Gateway,
    make_user: MakeUser,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(extra):
        person = make_user(f"p{number}")
        Machine().enroll(person)
        make_grant(wiki, user=person)
        make_grant(
            make_application(f"a{number}", f"10.2.{number}.0/24", gateways=[gw1]),
            user=laptop.owner,
        )
    [snapshot] = publish()
    acknowledge(snapshot, seconds=1)
    with django_assert_num_queries(5):
        who_reaches(wiki, NOW, now=NOW)
    with django_assert_num_queries(16):
        who_reaches(wiki, NOW + 5 * SECOND, now=TOMORROW)
    with django_assert_num_queries(12):
        what_changed(NOW - SECOND, NOW + 5 * SECOND)


def test_the_past_names_the_generations_that_answered(
    wiki: Application, alices_grant: Grant, laptop: Device, alice: User
) -> None:
    [snapshot] = publish()
    published = "gw1 1.1, published since 2026-11-23 12:00:00 UTC"
    later = NOW + timedelta(minutes=1)
    assert who_reaches(wiki, NOW, now=later).sources == (published,)
    acknowledge(snapshot, seconds=1)
    in_force = "gw1 1.1, in force since 2026-11-23 12:00:01 UTC"
    at = NOW + 2 * SECOND
    assert who_reaches(wiki, at, now=later).sources == (in_force,)
    assert what_reaches(alice, at, now=later).sources == (in_force,)
    assert what_changed(NOW, at).sources == (published, in_force)
    assert who_reaches(wiki, later, now=later).sources == ()
    Snapshot.objects.update(digest="0" * 64)
    assert who_reaches(wiki, at, now=later).sources == ()
