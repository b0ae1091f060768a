"""Many people revoked at once: one transaction, one notice, everybody's own events."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from audit.actor import Actor
from audit.models import AuditEvent
from peers.models import AddressLease, DeviceKey, Gateway
from policies.models import (
    Application,
    Publication,
    Revocation,
    RevocationNotice,
)
from portal import revocation
from portal.accounts.models import User
from tests.conftest import MakeUser, SignIn
from tests.peers.makers import Machine, codes
from tests.policies.makers import NOW, content, make_grant, publish


def revoke(users: list[User], actor: Actor) -> list[Revocation]:
    return revocation.revoke_users(
        users=users, reason="supplier left", actor=actor, requested_at=NOW, now=NOW
    )


@pytest.mark.django_db
@pytest.mark.usefixtures("pools", "signing_key")
def test_everything_of_everybody_ends_and_of_nobody_else(
    alice: User, bob: User, mallory: User, sign_in: SignIn, actor: Actor, gw1: Gateway
) -> None:
    browsers = [sign_in(user) for user in (alice, bob)]
    for user in (alice, bob, mallory):
        Machine().enroll(user)
    revoke([alice, bob], actor)
    assert [browser.get("/devices/").status_code for browser in browsers] == [302, 302]
    assert {key.state for key in DeviceKey.objects.filter(device__owner=bob)} == {
        "revoked"
    }
    held = AddressLease.objects.filter(released_at__isnull=True)
    assert {lease.device.owner for lease in held} == {mallory}
    mallory.refresh_from_db()
    assert mallory.is_active


@pytest.mark.django_db
@pytest.mark.usefixtures("pools", "signing_key")
def test_one_notice_names_all_and_each_has_a_revocation_of_its_own(
    alice: User, bob: User, actor: Actor, gw1: Gateway
) -> None:
    devices = [Machine().enroll(user) for user in (alice, bob)]
    made = revoke([bob, alice], actor)
    notice = RevocationNotice.objects.get()
    assert sorted(notice.devices) == sorted(device.pk for device in devices)
    assert [row.user for row in made] == [alice, bob]
    assert {row.notice for row in Revocation.objects.all()} == {notice}
    assert [row.targets.get().gateway for row in made] == [gw1, gw1]
    assert [row.devices.get() for row in made] == devices


@pytest.mark.django_db
@pytest.mark.usefixtures("pools", "signing_key")
def test_each_person_has_their_events_and_the_act_has_one(
    alice: User, bob: User, actor: Actor, gw1: Gateway
) -> None:
    for user in (alice, bob):
        Machine().enroll(user)
    before = AuditEvent.objects.count()
    revoke([alice, bob], actor)
    told = codes()[before:]
    for code in ("ID008I", "DV012I", "KY012I", "RV001I"):
        assert told.count(code) == 2, code
    [act] = AuditEvent.objects.filter(code="RV003")
    assert act.details["people"] == 2
    assert act.reason == "supplier left"


@pytest.mark.django_db
@pytest.mark.usefixtures("pools", "signing_key")
def test_revoking_one_has_no_event_of_many(alice: User, actor: Actor) -> None:
    revoke([alice], actor)
    assert not AuditEvent.objects.filter(code="RV003").exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("pools", "signing_key")
def test_snapshot_is_published_once_for_all(
    alice: User, bob: User, wiki: Application, gw1: Gateway, actor: Actor
) -> None:
    for user in (alice, bob):
        make_grant(wiki, user=user)
        Machine().enroll(user)
    publish()
    before = Publication.objects.get().generation
    assert len(content(gw1).peers) == 2
    revoke([alice, bob], actor)
    publish()
    assert content(gw1).peers == ()
    assert Publication.objects.get().generation == before + 1


@pytest.mark.django_db
@pytest.mark.usefixtures("pools", "signing_key")
def test_queries_do_not_grow_with_people_or_devices(
    make_user: MakeUser, actor: Actor, gw1: Gateway
) -> None:
    def queries(names: str) -> int:
        users = [make_user(name) for name in names.split()]
        for user in users:
            Machine().enroll(user)
            Machine().enroll(user, name="phone")
        with CaptureQueriesContext(
            connection,
        ) as found:
            revoke(users, actor)
        return len(found)

    few = queries("u1 u2")
    assert queries("v1 v2 v3 v4 v5 v6") == few


@pytest.mark.django_db
@pytest.mark.usefixtures("pools", "signing_key")
def test_failure_revokes_nobody(
    alice: User, bob: User, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation, "_tell", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        revoke([alice, bob], actor)
    assert User.objects.filter(is_active=False).count() == 0
    assert not AuditEvent.objects.filter(code="RV001").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("pools", "signing_key")
def test_two_who_revoke_the_same_people_end_each_device_once(
    alice: User, bob: User, actor: Actor, gw1: Gateway
) -> None:
    for user in (alice, bob):
        Machine().enroll(user)
    ready, failures = threading.Barrier(2), list[BaseException]()

    def act(users: list[User]) -> None:
        try:
            ready.wait(10)
            revoke(users, actor)
        except BaseException as exc:  # noqa: BLE001 -- told below
            failures.append(exc)
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=act, args=(users,))
        for users in ([alice, bob], [bob, alice])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert codes().count("DV012I") == 2
    assert codes().count("ID008I") == 2
    assert Revocation.objects.count() == 4
