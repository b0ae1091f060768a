"""A generation is in force when the kernel holds it; revocations close then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit.events import EventCode
from audit.models import AuditEvent
from peers.models import Gateway
from policies import services
from policies.compiler.holdings import holdings, holdings_digest
from policies.errors import AcknowledgementError
from policies.models import (
    Acknowledgement,
    Grant,
    Revocation,
    RevocationTarget,
    Snapshot,
)
from policies.reports import parse_report
from policies.services import generations
from policies.services.acknowledgements import expected_digest
from portal.accounts.models import User
from tests.peers.makers import codes
from tests.policies.makers import NOW, agent, content, moment, publish, report

pytestmark = pytest.mark.django_db
SOON = NOW + timedelta(seconds=1)


@pytest.fixture
def snapshot(alices_grant: Grant) -> Snapshot:
    """The first generation of gw1."""
    assert alices_grant.pk
    return publish()[0]


def acknowledge(snapshot: Snapshot, **changed: object) -> Acknowledgement:
    return services.record_acknowledgement(
        gateway=snapshot.gateway,
        report=parse_report(report(snapshot, **changed)),
        actor=agent(snapshot.gateway),
        now=SOON,
    )


@pytest.fixture
def target(snapshot: Snapshot, alice: User) -> RevocationTarget:
    """A revocation that waits for that generation."""
    revocation = Revocation.objects.create(
        user=alice, requested_at=NOW, actor_label="dave", reason=""
    )
    return RevocationTarget.objects.create(
        revocation=revocation, gateway=snapshot.gateway, generation=1
    )


def test_applied_and_held_is_in_force(snapshot: Snapshot) -> None:
    assert acknowledge(snapshot).in_force
    event = AuditEvent.objects.latest("id")
    assert str(event) == "GW004I"
    assert event.details["total_us"] == 1500
    assert event.gateway_id == event.actor_id == snapshot.gateway.ref.id


FAILURES: dict[str, dict[str, Any]] = {
    "kernel holds something else": {"observed_digest": "0" * 64},
    "not applied": {"applied_at": None, "observed_digest": ""},
    "error": {"error": "nft: no such file"},
}


@pytest.mark.parametrize("changed", FAILURES.values(), ids=FAILURES.keys())
def test_anything_less_is_a_failure_that_is_told(
    snapshot: Snapshot, target: RevocationTarget, changed: dict[str, Any]
) -> None:
    assert not acknowledge(snapshot, **changed).in_force
    assert codes()[-1] == "GW005E"
    assert AuditEvent.objects.latest("id").reason
    target.refresh_from_db()
    assert target.enforced_at is None


def test_nobody_waits_for_what_the_kernel_should_hold_of_a_large_snapshot(
    alices_grant: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert alices_grant.pk
    monkeypatch.setattr(generations, "SMALL", -1)
    [snapshot] = publish()
    assert Snapshot.objects.get().holdings_digest == ""
    expected = holdings(content(snapshot.gateway), "wg0")
    assert acknowledge(snapshot).observed_digest == holdings_digest(expected)
    assert Snapshot.objects.get().holdings_digest == holdings_digest(expected)


def test_what_the_kernel_should_hold_is_computed_with_a_small_snapshot(
    snapshot: Snapshot,
) -> None:
    computed = Snapshot.objects.get().holdings_digest
    assert computed
    Snapshot.objects.update(holdings_digest="")
    # The same as from the signed bytes.
    assert expected_digest(Snapshot.objects.get()) == computed


def test_what_cannot_be_read_any_more_is_not_in_force(snapshot: Snapshot) -> None:
    observed = expected_digest(snapshot)
    Snapshot.objects.update(envelope="{}", holdings_digest="")
    assert not acknowledge(snapshot, observed_digest=observed).in_force
    assert "cannot be told" in AuditEvent.objects.latest("id").reason


def test_generation_never_issued_is_refused_with_one_event(snapshot: Snapshot) -> None:
    before = codes()
    with pytest.raises(AcknowledgementError, match=r"1\.2 was never issued"):
        acknowledge(snapshot, generation=2)
    assert not Acknowledgement.objects.exists()
    assert codes() == [*before, "GW013W"]


def test_generation_of_another_gateway_is_refused(snapshot: Snapshot) -> None:
    other = Gateway.objects.create(name="gw2", endpoint_host="b.test", created_at=NOW)
    snapshot.gateway = other
    with pytest.raises(AcknowledgementError, match="never issued to it"):
        acknowledge(snapshot)
    assert codes()[-1] == "GW013W"


def test_report_sent_twice_is_recorded_once(snapshot: Snapshot) -> None:
    assert acknowledge(snapshot) == acknowledge(snapshot)
    assert codes().count("GW004I") == 1


def test_acknowledgement_closes_the_revocation(
    snapshot: Snapshot, target: RevocationTarget, alice: User
) -> None:
    acknowledge(snapshot, flows_cut=3)
    target.refresh_from_db()
    assert target.enforced_at == NOW + timedelta(seconds=0.05)
    assert target.flows_cut == 3
    event = AuditEvent.objects.get(code=EventCode.REVOCATION_ENFORCED)
    assert event.person_id == alice.ref.id
    assert event.details["after_us"] == 50_000


def test_later_generation_closes_an_earlier_revocation(
    snapshot: Snapshot, target: RevocationTarget
) -> None:
    RevocationTarget.objects.update(generation=snapshot.generation)
    snapshot.gateway.epoch = 2
    snapshot.gateway.save()
    [later] = publish()
    acknowledge(later)
    target.refresh_from_db()
    assert target.enforced_at is not None


def test_earlier_generation_closes_no_later_revocation(
    snapshot: Snapshot, target: RevocationTarget
) -> None:
    RevocationTarget.objects.update(generation=2)
    acknowledge(snapshot)
    target.refresh_from_db()
    assert target.enforced_at is None


@pytest.mark.parametrize(
    ("applied", "expected"), [(-30, NOW), (30, SOON)], ids=["early", "late"]
)
def test_wrong_clock_does_not_stretch_the_measure(
    snapshot: Snapshot, target: RevocationTarget, applied: int, expected: object
) -> None:
    acknowledge(snapshot, applied_at=moment(seconds=applied))
    target.refresh_from_db()
    assert target.enforced_at == expected


def test_revocation_closes_once(snapshot: Snapshot, target: RevocationTarget) -> None:
    acknowledge(snapshot, flows_cut=3)
    acknowledge(snapshot, flows_cut=0, applied_at=moment(seconds=0.9))
    target.refresh_from_db()
    assert target.flows_cut == 3
    assert codes().count("RV002I") == 1
