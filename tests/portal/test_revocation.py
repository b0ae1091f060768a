"""Revoking a person ends everything, everywhere, at once; again is safe."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.actor import Actor
from peers.models import AddressLease, Device, Gateway
from policies import notifier, services
from policies.models import (
    Application,
    Grant,
    Revocation,
    RevocationNotice,
    Snapshot,
)
from policies.reports import parse_notice_report, parse_report
from portal import revocation
from portal.accounts import services as accounts_services
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.peers.makers import Machine, codes
from tests.policies.makers import (
    NOW,
    agent,
    content,
    make_grant,
    notice_report,
    publish,
    report,
)

pytestmark = pytest.mark.django_db
Commit = Callable[[], Any]
Revoke = Callable[[], Revocation]


@pytest.fixture
def revoke(alice: User, alices_grant: Grant, actor: Actor) -> Revoke:
    """Revoke alice, who has a grant and a device."""
    assert alices_grant.pk
    machine = Machine()
    machine.enroll(alice)

    def act() -> Revocation:
        return revocation.revoke_user(
            user=alice, reason="left", actor=actor, requested_at=NOW, now=NOW
        )

    return act


def tell(gateway: Gateway, number: int, **changed: object) -> None:
    services.record_notice_report(
        gateway=gateway,
        report=parse_notice_report(notice_report(number, **changed)),
        actor=agent(gateway),
        now=NOW + timedelta(seconds=1),
    )


def acknowledge(gateway: Gateway, **changed: object) -> None:
    snapshot = gateway.snapshots.latest("generation")
    services.record_acknowledgement(
        gateway=gateway,
        report=parse_report(report(snapshot, **changed)),
        actor=agent(gateway),
        now=NOW + timedelta(seconds=1),
    )


def test_everything_of_the_person_ends(
    revoke: Revoke, alice: User, sign_in: SignIn
) -> None:
    browser = sign_in(alice)
    done = revoke()
    alice.refresh_from_db()
    assert not alice.is_active
    assert [device.state for device in alice.devices.all()] == ["revoked"]
    assert not AddressLease.objects.filter(released_at__isnull=True).exists()
    assert done.devices.count() == 1
    assert browser.get("/devices/").status_code == 302


def test_a_notice_is_written_inside_the_transaction(
    revoke: Revoke, alice: User, gw1: Gateway
) -> None:
    publish()
    done = revoke()
    notice = RevocationNotice.objects.get()
    device = alice.devices.get()
    assert done.notice == notice
    assert notice.devices == [device.pk]
    assert notice.keys == [device.keys.get().public_key]
    assert gw1.publication.notices < notice.number


def test_it_waits_for_no_row_that_is_held_while_policies_are_compiled(
    revoke: Revoke, gw1: Gateway
) -> None:
    # Whoever confirms a large change holds these for seconds (`whatif.carry_out`).
    publish()
    with CaptureQueriesContext(connection) as captured:
        done = revoke()
    touching = [
        query["sql"]
        for query in captured.captured_queries
        if "policies_publication" in query["sql"]
        and not ("SELECT" in query["sql"] and "FOR " not in query["sql"].upper())
    ]
    assert touching == []
    assert done.notice is not None
    assert gw1.publication.notices < done.notice.number
    assert [s.gateway for s in services.republish_due_snapshots(now=NOW)] == [gw1]
    assert content(gw1).peers == ()


def test_the_next_snapshot_is_without_the_person(revoke: Revoke, gw1: Gateway) -> None:
    publish()
    assert len(content(gw1).peers) == 1
    done = revoke()
    assert len(content(gw1).peers) == 1
    publish()
    assert content(gw1).peers == ()
    assert done.targets.get().generation == 2


def test_every_enrolled_gateway_must_confirm(revoke: Revoke, gw1: Gateway) -> None:
    for name, state in (("gw2", "enrolled"), ("gw3", "pending"), ("gw4", "retired")):
        Gateway.objects.create(
            name=name, endpoint_host="b.test", state=state, created_at=NOW
        )
    done = revoke()
    names = {target.gateway.name for target in done.targets.all()}
    assert names == {gw1.name, "gw2"}


def test_gateways_are_woken_after_the_commit_and_before_anything_is_compiled(
    revoke: Revoke, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    publish()
    monkeypatch.setattr(
        notifier, "notify_notices", lambda: told.append(Snapshot.objects.count())
    )
    with commit():
        done = revoke()
        assert told == []
    assert told == [1]
    assert Snapshot.objects.count() == 1
    done.refresh_from_db()
    assert done.committed_at is not None


def test_a_report_of_the_notice_shows_when_it_was_enforced(
    revoke: Revoke, gw1: Gateway
) -> None:
    done = revoke()
    assert done.notice is not None
    tell(gw1, done.notice.number, flows_cut=2)
    target = done.targets.get()
    assert target.enforced_at == done.requested_at + timedelta(seconds=0.05)
    assert target.received_at == done.requested_at + timedelta(seconds=0.04)
    assert target.reported_at == done.requested_at + timedelta(seconds=1)
    assert (target.flows_cut, target.generation) == (2, None)
    assert codes()[-2:] == ["GW004I", "RV002I"]


def test_the_snapshot_closes_what_no_report_of_a_notice_closed(
    revoke: Revoke, gw1: Gateway
) -> None:
    done = revoke()
    publish()
    acknowledge(gw1, flows_cut=2)
    assert done.targets.get().enforced_at is not None


def break_policy(bob: User) -> Device:
    """Make every policy that holds bob's device one that does not compile."""
    broken = Machine().enroll(bob)
    broken.leases.filter(address__contains=".").update(address="192.0.2.1")
    return broken


def test_gateway_whose_policy_is_broken_still_loses_the_person(
    revoke: Revoke, gw1: Gateway, bob: User, wiki: Application, alice: User
) -> None:
    make_grant(wiki, user=bob)
    Machine().enroll(bob, name="phone")
    publish()
    assert len(content(gw1).peers) == 2
    break_policy(bob)
    done = revoke()
    publish()
    [left] = content(gw1).peers
    assert left.device_id == bob.devices.get(name="phone").pk
    assert not alice.devices.filter(pk=left.device_id).exists()
    assert codes().count("PL008E") == 1
    acknowledge(gw1)
    assert done.targets.get().enforced_at is not None


def test_gateway_that_cannot_be_told_stays_unconfirmed(
    revoke: Revoke, gw1: Gateway, bob: User, alice: User, wiki: Application
) -> None:
    make_grant(wiki, user=bob)
    break_policy(bob)
    other = Gateway.objects.create(
        name="gw2", endpoint_host="b.test", state="enrolled", created_at=NOW
    )
    done = revoke()
    publish()
    alice.refresh_from_db()
    assert not alice.is_active
    assert done.targets.get(gateway=other).generation == 1
    assert done.targets.get(gateway=gw1).generation is None
    assert codes().count("PL008E") == 1


def test_unconfirmed_gateway_confirms_once_its_policy_compiles(
    revoke: Revoke, gw1: Gateway, bob: User, wiki: Application
) -> None:
    make_grant(wiki, user=bob)
    broken = break_policy(bob)
    done = revoke()
    publish()
    assert done.targets.get().generation is None
    broken.leases.filter(address="192.0.2.1").update(address="100.64.0.99")
    publish()
    acknowledge(gw1)
    assert done.targets.get().enforced_at is not None


def test_without_the_signing_key_everything_but_the_gateways_ends(
    revoke: Revoke, alice: User, signing_key: Path
) -> None:
    publish()
    signing_key.unlink()
    done = revoke()
    alice.refresh_from_db()
    assert not alice.is_active
    assert done.targets.get().generation is None


def test_revoking_again_is_safe_and_tells_every_gateway_again(
    revoke: Revoke, gw1: Gateway
) -> None:
    revoke()
    tell(gw1, 1)
    again = revoke()
    assert again.devices.count() == 0
    assert again.targets.get().enforced_at is None
    tell(gw1, 2, flows_cut=0)
    assert again.targets.get().enforced_at is not None
    assert codes().count("ID008I") == 1
    assert codes().count("RV001I") == 2


def test_who_never_had_a_key_needs_no_gateway(
    alice: User, gw1: Gateway, actor: Actor
) -> None:
    done = revocation.revoke_user(
        user=alice, reason="left", actor=actor, requested_at=NOW, now=NOW
    )
    assert done.notice is None
    target = done.targets.get(gateway=gw1)
    assert (target.enforced_at, target.flows_cut) == (NOW, 0)


def test_reinstated_person_starts_without_devices(
    revoke: Revoke, alice: User, actor: Actor, gw1: Gateway
) -> None:
    revoke()
    accounts_services.reactivate_user(user=alice, reason="", actor=actor, now=NOW)
    publish()
    assert content(gw1).peers == ()
    assert alice.devices.filter(state="active").count() == 0


def test_failure_half_way_revokes_nothing_by_halves(
    revoke: Revoke, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation, "_tell", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        revoke()
    alice.refresh_from_db()
    assert alice.is_active
    assert alice.devices.get().state == "active"


def post(client: Client, user: User, reason: object = "left") -> Any:  # noqa: ANN401 -- the client's answers are untyped
    return client.post(
        f"/api/v1/users/{user.pk}/revoke/",
        {"reason": reason},
        content_type="application/json",
    )


def test_administrator_revokes_by_api(
    revoke: object, dave: User, alice: User, gw1: Gateway, sign_in: SignIn
) -> None:
    assert revoke
    client = sign_in(dave)
    answer = post(client, alice)
    assert answer.status_code == 202
    tell(gw1, 1, flows_cut=1)
    found = client.get(f"/api/v1/revocations/{answer.json()['revocation']}/").json()
    assert found["gateways"][0]["flows_cut"] == 1
    assert found["is_enforced"] is True
    assert found["user"] == alice.ref.id


@pytest.mark.parametrize("who", ["carol", "mallory"])
def test_others_may_not_revoke_by_api(
    who: str, alice: User, sign_in: SignIn, request: pytest.FixtureRequest
) -> None:
    client = sign_in(request.getfixturevalue(who))
    assert post(client, alice).status_code == 403
    assert client.get("/api/v1/revocations/1/").status_code == 403
    alice.refresh_from_db()
    assert alice.is_active


def test_anonymous_may_not_revoke_by_api(alice: User) -> None:
    assert post(Client(), alice).status_code in {401, 403}
    alice.refresh_from_db()
    assert alice.is_active


@pytest.mark.parametrize("reason", ["", "  ", None, 5])
def test_api_asks_for_a_reason(
    reason: object, dave: User, alice: User, sign_in: SignIn
) -> None:
    answer = post(sign_in(dave), alice, reason)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == "a reason is needed"


def test_unknown_person_is_not_found(dave: User, sign_in: SignIn) -> None:
    assert post(sign_in(dave), User(pk=999)).status_code == 404


def test_api_wants_as_recent_a_proof_as_the_page(
    dave: User, alice: User, sign_in: SignIn
) -> None:
    answer = post(sign_in(dave, age=timedelta(days=1)), alice)
    assert answer.status_code == 403
    assert "/accounts/confirm/" in answer.json()["detail"]
    alice.refresh_from_db()
    assert alice.is_active
