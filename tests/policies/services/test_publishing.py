"""Publishing: equal content once, every change a generation, failures told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers import services as peers_services
from peers.models import AddressLease, Gateway
from policies import notifier, services, signing
from policies.compiler.compile import compile_snapshot
from policies.compiler.envelope import SNAPSHOT_TYPE, open_envelope
from policies.compiler.snapshot import digest, parse_snapshot
from policies.models import (
    Application,
    Grant,
    Publication,
    RevocationNotice,
    Snapshot,
)
from policies.services import generations, publishing
from portal.accounts import services as accounts_services
from portal.accounts.models import Group, Membership, User
from tests.peers.makers import Machine, codes
from tests.policies.makers import (
    NOW,
    content,
    make_application,
    make_grant,
    publish,
)

pytestmark = pytest.mark.django_db
Commit = Callable[[], Any]


def test_first_publication_is_generation_one_and_signed(
    gw1: Gateway, alices_grant: Grant, alice: User
) -> None:
    device = Machine().enroll(alice)
    [snapshot] = publish()
    key = signing.verification_key().public_key
    payload = signing.verified_payload(
        snapshot.envelope.encode(), payload_type=SNAPSHOT_TYPE, public_key=key
    )
    parsed = parse_snapshot(payload)
    assert (parsed.audience, parsed.epoch, parsed.generation) == (gw1.ref.id, 1, 1)
    assert [peer.device_id for peer in parsed.peers] == [device.pk]
    assert [grant.id for grant in parsed.grants] == [alices_grant.pk]
    assert (snapshot.digest, snapshot.peers) == (digest(payload), 1)


def test_equal_content_is_not_published_again(alices_grant: Grant) -> None:
    assert len(publish()) == 1
    assert publish(now=NOW + timedelta(hours=1)) == []
    assert codes().count("PL009I") == 1
    assert alices_grant.application.gateways.get().publication.stale_since is None


def test_every_change_is_the_next_generation(
    gw1: Gateway, wiki: Application, alice: User, bob: User
) -> None:
    publish()
    make_grant(wiki, user=alice)
    publish()
    make_grant(wiki, user=bob)
    publish()
    generations = Snapshot.objects.order_by("pk").values_list("generation", flat=True)
    assert list(generations) == [1, 2, 3]
    assert Publication.objects.get(pk=gw1.pk).generation == 3


def test_terms_alone_are_a_generation_and_ordinary_ones_the_first_version_again(
    gw1: Gateway, wiki: Application, alices_grant: Grant
) -> None:
    assert alices_grant.pk
    publish()
    for limit, version in ((120, b'"version":2'), (None, b'"version":1')):
        Application.objects.filter(pk=wiki.pk).update(max_staleness=limit)
        [snapshot] = publish()
        assert version in open_envelope(snapshot.envelope.encode()).payload
        [found] = content(gw1).applications
        assert found.strictness.max_staleness == limit
    assert content(gw1).generation == 3


def test_pending_gateway_is_not_published(gw1: Gateway) -> None:
    Gateway.objects.update(state="pending")
    assert publish() == []
    assert not Publication.objects.filter(pk=gw1.pk).exists()


def test_new_epoch_is_published_although_content_is_equal(gw1: Gateway) -> None:
    publish()
    Gateway.objects.update(epoch=2)
    [snapshot] = publish()
    assert (snapshot.epoch, snapshot.generation) == (2, 2)
    assert content(gw1).epoch == 2


def break_policy(alice: User) -> None:
    """Make the policy of gw1 one that does not compile: an address outside the pool."""
    Machine().enroll(alice, name="broken")
    AddressLease.objects.filter(address__contains=".").update(address="192.0.2.1")


def test_policy_that_does_not_compile_is_an_event_and_the_old_one_stays(
    gw1: Gateway, alices_grant: Grant, alice: User
) -> None:
    [before] = publish()
    break_policy(alice)
    assert publish() == []
    publication = Publication.objects.get(pk=gw1.pk)
    assert (publication.snapshot, publication.generation) == (before, 1)
    assert publication.stale_since is not None
    assert "192.0.2.1" in publication.failure
    assert codes()[-1] == "PL008E"
    assert AuditEvent.objects.latest("id").reason == publication.failure
    assert alices_grant.pk == content(gw1).grants[0].id


def test_one_broken_policy_holds_up_no_other_gateway(
    gw1: Gateway, alices_grant: Grant, alice: User, bob: User
) -> None:
    other = Gateway.objects.create(
        name="a", endpoint_host="a.test", state="enrolled", created_at=NOW
    )
    make_grant(make_application("crm", "10.2.0.0/24", gateways=[other]), user=bob)
    break_policy(alice)
    assert [snapshot.gateway for snapshot in publish()] == [other]
    assert Publication.objects.get(pk=gw1.pk).failure
    assert alices_grant.ended_at is None


def test_repaired_policy_is_published(
    gw1: Gateway, alices_grant: Grant, alice: User
) -> None:
    break_policy(alice)
    publish()
    AddressLease.objects.filter(address="192.0.2.1").update(address="100.64.0.9")
    assert len(publish()) == 1
    assert Publication.objects.get(pk=gw1.pk).failure == ""
    assert alices_grant.pk


def test_sweep_tells_the_same_failure_once(alices_grant: Grant, alice: User) -> None:
    break_policy(alice)
    for _ in range(3):
        services.republish_due_snapshots(now=NOW)
    assert codes().count("PL008E") == 1
    assert alices_grant.pk


def test_without_a_key_nothing_is_published_and_it_is_told(
    gw1: Gateway, signing_key: Path
) -> None:
    signing_key.unlink()
    assert publish() == []
    assert codes() == ["PL008E"]
    assert Publication.objects.get(pk=gw1.pk).generation == 0


def test_enrolment_publishes_on_commit(
    gw1: Gateway, alices_grant: Grant, alice: User, commit: Commit
) -> None:
    with commit():
        device = Machine().enroll(alice)
        assert not Snapshot.objects.exists()
    assert [peer.device_id for peer in content(gw1).peers] == [device.pk]
    assert alices_grant.pk


def test_revoked_key_leaves_the_snapshot_and_is_named_revoked(
    gw1: Gateway, alices_grant: Grant, alice: User, commit: Commit
) -> None:
    machine = Machine()
    with commit():
        device = machine.enroll(alice)
    with commit():
        peers_services.revoke_device(
            device=device, reason="lost", actor=SYSTEM, now=NOW
        )
    publish()
    assert content(gw1).peers == ()
    assert content(gw1).revoked_keys == (machine.public_key,)
    assert alices_grant.pk


def test_leaving_a_group_leaves_the_snapshot(
    gw1: Gateway, wiki: Application, alice: User, engineering: Group, commit: Commit
) -> None:
    make_grant(wiki, group=engineering)
    with commit():
        Machine().enroll(alice)
    assert len(content(gw1).peers) == 1
    with commit():
        accounts_services.provision_user(
            issuer=alice.issuer,
            subject=alice.subject,
            name=alice.name,
            email=alice.email,
            groups=[],
            role=None,
            actor=SYSTEM,
            now=NOW,
        )
    assert content(gw1).peers == ()
    assert not Membership.objects.filter(user=alice).exists()


def test_disabled_person_leaves_the_snapshot(
    gw1: Gateway, alices_grant: Grant, alice: User, commit: Commit
) -> None:
    with commit():
        Machine().enroll(alice)
    with commit():
        accounts_services.deactivate_user(user=alice, reason="", actor=SYSTEM, now=NOW)
    assert content(gw1).peers == ()
    assert alices_grant.pk


def test_gateways_are_told_after_the_commit(
    gw1: Gateway, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[int]] = []
    monkeypatch.setattr(notifier, "notify", told.append)
    with commit():
        publish()
        assert told == []
    assert told == [[gw1.pk]]


def test_publishing_costs_the_same_for_many_devices(
    alices_grant: Grant,
    alice: User,
    settings: Settings,
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    settings.PEERAGE_DEVICE_LIMIT = 100
    publish()
    for number in range(12):
        Machine().enroll(alice, name=f"laptop {number}")
    with django_assert_num_queries(23):
        publish()
    assert alices_grant.pk


def test_published_inside_the_transaction_is_not_compiled_again_after_it(
    gw1: Gateway,
    alices_grant: Grant,
    alice: User,
    commit: Commit,
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    assert alices_grant.pk
    with commit():
        Machine().enroll(alice)
        publish()
    assert codes().count("PL009I") == 1
    with django_assert_num_queries(2):
        publishing._publish_stale(  # noqa: SLF001 -- what waits for the commit
            [gw1.pk], cause="test", actor=SYSTEM, now=NOW
        )


def test_nothing_is_compiled_on_commit_while_a_notice_is_out(
    gw1: Gateway, wiki: Application, alices_grant: Grant, alice: User, commit: Commit
) -> None:
    assert alices_grant.pk
    with commit():
        device = Machine().enroll(alice)
    before = gw1.snapshots.count()
    with commit():
        peers_services.revoke_device(
            device=device, reason="lost", actor=SYSTEM, now=NOW
        )
    with commit():
        make_grant(wiki, user=alice)
    assert gw1.snapshots.count() == before
    publication = Publication.objects.get()
    assert publication.notices == 0
    publish()
    assert gw1.snapshots.count() == before + 1
    publication.refresh_from_db()
    assert publication.stale_since is None
    assert publication.notices == 1
    with commit():
        make_grant(wiki, user=alice)
    assert gw1.snapshots.count() == before + 2


def test_what_changes_while_it_compiles_stays_out_of_date(
    gw1: Gateway, wiki: Application, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = compile_snapshot

    def meanwhile(*args: Any, **named: Any) -> Any:  # noqa: ANN401 -- the real one's
        services.publish_on_commit(
            gateway_ids=None, cause="meanwhile", actor=SYSTEM, now=NOW
        )
        return compiled(*args, **named)

    make_grant(wiki, user=alice)
    monkeypatch.setattr(generations, "compile_snapshot", meanwhile)
    [snapshot] = publish()
    publication = Publication.objects.get()
    assert publication.snapshot == snapshot
    assert publication.stale_since is not None
    assert gw1.pk == publication.pk


def test_what_somebody_else_published_meanwhile_is_compiled_anew(
    gw1: Gateway, wiki: Application, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled, others = compile_snapshot, [1]

    def overtaken(*args: Any, **named: Any) -> Any:  # noqa: ANN401 -- the real one's
        if others:
            others.pop()
            make_grant(wiki, user=alice)
            publish()
        return compiled(*args, **named)

    monkeypatch.setattr(generations, "compile_snapshot", overtaken)
    assert publish() == []
    assert gw1.snapshots.count() == 1
    assert len(content(gw1).grants) == 1


def test_what_ended_while_it_was_compiled_is_not_published(
    gw1: Gateway, wiki: Application, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    grant = make_grant(wiki, user=alice)
    compiled, others = compile_snapshot, [1]

    def undone(*args: Any, **named: Any) -> Any:  # noqa: ANN401 -- the real one's
        if others:
            others.pop()
            grant.delete()
            services.publish_on_commit(
                gateway_ids=None, cause="undone", actor=SYSTEM, now=NOW
            )
            assert publish() == []
        return compiled(*args, **named)

    monkeypatch.setattr(generations, "compile_snapshot", undone)
    assert publish() == []
    assert content(gw1).grants == ()
    assert Publication.objects.get().stale_since is None


def test_who_compiled_before_a_notice_does_not_take_back_that_it_is_covered(
    gw1: Gateway, wiki: Application, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    make_grant(wiki, user=alice)
    compiled, others = compile_snapshot, [1]

    def covered(*args: Any, **named: Any) -> Any:  # noqa: ANN401 -- the real one's
        if others:
            others.pop()
            RevocationNotice.objects.create(
                number=1, issued_at=NOW, devices=[1], keys=["k"]
            )
            Publication.objects.filter(pk=gw1.pk).update(notices=1)
        return compiled(*args, **named)

    monkeypatch.setattr(generations, "compile_snapshot", covered)
    assert len(publish()) == 1
    assert Publication.objects.get().notices == 1
