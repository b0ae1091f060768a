"""Locks: made and lifted on purpose, recorded, published at once, never deleted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers.models import Device, Gateway
from policies import services
from policies.errors import ApplicationInUseError, PolicyError
from policies.models import Application, Grant, Lock, Lockable, Publication
from portal.accounts.models import Group, User
from tests.peers.makers import Machine
from tests.policies.makers import NOW, content, make_application, publish

pytestmark = pytest.mark.django_db
Commit = Callable[[], AbstractContextManager[object]]


def make_lock(target: Lockable, *, ends: timedelta | None = None) -> Lock:
    """Lock something."""
    return services.create_lock(
        target=target,
        message="Lost in a taxi",
        expires_at=None if ends is None else NOW + ends,
        actor=SYSTEM,
        now=NOW,
    )


@pytest.fixture
def laptop(alice: User, alices_grant: Grant, gw1: Gateway) -> Device:
    """Alice's laptop, which reaches the wiki by what gw1 was told."""
    device = Machine().enroll(alice)
    publish()
    assert [peer.device_id for peer in content(gw1).peers] == [device.pk]
    assert alices_grant.pk
    return device


@pytest.mark.parametrize("kind", ["user", "device", "group", "application", "gateway"])
def test_locked_leaves_the_snapshot_on_commit_and_lifted_comes_back(
    kind: str,
    laptop: Device,
    engineering: Group,
    wiki: Application,
    gw1: Gateway,
    commit: Commit,
) -> None:
    targets: dict[str, Lockable] = {
        "user": laptop.owner,
        "device": laptop,
        "group": engineering,
        "application": wiki,
        "gateway": gw1,
    }
    with commit():
        lock = make_lock(targets[kind])
    assert (lock.kind, lock.target) == (kind, targets[kind])
    assert content(gw1).peers == ()
    with commit():
        services.lift_lock(lock=lock, actor=SYSTEM, now=NOW)
    assert [peer.device_id for peer in content(gw1).peers] == [laptop.pk]


def test_a_lock_stops_only_its_target(
    laptop: Device, bob: User, gw1: Gateway, commit: Commit
) -> None:
    with commit():
        make_lock(bob)
    assert [peer.device_id for peer in content(gw1).peers] == [laptop.pk]
    assert Publication.objects.get().generation == 1


def test_two_locks_on_one_target_are_lifted_one_by_one(
    laptop: Device, gw1: Gateway, commit: Commit
) -> None:
    with commit():
        first, second = make_lock(laptop), make_lock(laptop)
    with commit():
        services.lift_lock(lock=first, actor=SYSTEM, now=NOW)
    assert content(gw1).peers == ()
    with commit():
        services.lift_lock(lock=second, actor=SYSTEM, now=NOW)
    assert len(content(gw1).peers) == 1


def test_the_sweep_publishes_when_a_lock_has_run_out(
    laptop: Device, gw1: Gateway, commit: Commit
) -> None:
    with commit():
        make_lock(laptop, ends=timedelta(hours=1))
    end = NOW + timedelta(hours=1)
    assert Publication.objects.get().next_change_at == end
    assert services.republish_due_snapshots(now=end - timedelta(seconds=1)) == []
    assert len(services.republish_due_snapshots(now=end)) == 1
    assert [peer.device_id for peer in content(gw1).peers] == [laptop.pk]


def test_a_lock_cuts_although_the_policy_does_not_compile(
    laptop: Device, gw1: Gateway, bob: User, wiki: Application, commit: Commit
) -> None:
    services.create_grant(application=wiki, user=bob, actor=SYSTEM, now=NOW)
    broken = Machine().enroll(bob, name="broken")
    broken.leases.filter(address__contains=".").update(address="192.0.2.1")
    with commit():
        make_lock(laptop)
    assert Publication.objects.get().failure
    assert content(gw1).peers == ()


def test_locking_and_lifting_are_recorded_once(laptop: Device) -> None:
    lock = make_lock(laptop)
    for _ in range(2):
        services.lift_lock(lock=lock, actor=SYSTEM, now=NOW)
    events = AuditEvent.objects.filter(code__in=["RQ009", "RQ010"]).order_by("id")
    assert [event.code for event in events] == ["RQ009", "RQ010"]
    assert events[0].reason == "Lost in a taxi"
    assert events[0].device_id == laptop.ref.id
    assert events[0].person_id == laptop.owner.ref.id
    assert events[0].details == {"locked": laptop.ref.id, "expires_at": None}


@pytest.mark.parametrize(
    ("message", "ends", "says"),
    [
        ("", None, "say why"),
        ("  ", None, "say why"),
        ("x" * 256, None, "255"),
        ("a\x00b", None, "character"),
        ("why", timedelta(0), "is past"),
        ("why", timedelta(days=-1), "is past"),
        ("why", timedelta(days=3654), "ten years"),
    ],
)
def test_a_wrong_lock_is_refused_recorded_and_changes_nothing(
    message: str, ends: timedelta | None, says: str, alice: User
) -> None:
    with pytest.raises(PolicyError, match=says):
        services.create_lock(
            target=alice,
            message=message,
            expires_at=None if ends is None else NOW + ends,
            actor=SYSTEM,
            now=NOW,
        )
    assert not Lock.objects.exists()
    assert AuditEvent.objects.get(code="RQ009").outcome == "W"


def test_a_lock_has_exactly_one_target(alice: User, wiki: Application) -> None:
    for targets in ({}, {"user": alice, "application": wiki}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Lock.objects.create(message="x", created_at=NOW, **targets)


def test_an_application_that_was_locked_is_not_removed(gw1: Gateway) -> None:
    crm = make_application("crm", "10.2.0.0/24", gateways=[gw1])
    services.lift_lock(lock=make_lock(crm), actor=SYSTEM, now=NOW)
    with pytest.raises(ApplicationInUseError, match="was locked"):
        services.delete_application(application=crm, actor=SYSTEM, now=NOW)
