"""Beginnings that a gateway told and the portal never got are found (F16)."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import AuditEvent
from peers.models import Device, Gateway
from policies import services
from policies.models import EvidenceTotals, Grant
from portal.accounts.models import User
from tests.peers.makers import Machine, codes
from tests.policies.makers import NOW, agent, moment, opened

pytestmark = pytest.mark.django_db


@pytest.fixture
def device(alice: User, alices_grant: Grant) -> Device:
    """Alice's device."""
    assert alices_grant.pk
    return Machine().enroll(alice, now=NOW)


def totals(seq: int, count: int, since: str = "a") -> dict[str, Any]:
    sums = {"accepted": count, "logged": count, "lost": 0, "opened": count}
    return {"seq": seq, "kind": "totals", "at": moment(), "since": since, **sums}


def flow(seq: int, device: Device) -> dict[str, Any]:
    source = device.leases.get(address__contains=".").address
    return opened(seq, device=device.pk, source=source, flow=f"f-{seq}")


def ingest(gateway: Gateway, *records: dict[str, Any]) -> None:
    services.ingest_evidence(
        gateway=gateway, records=list(records), actor=agent(gateway), now=NOW
    )


def lost() -> list[tuple[str, int]]:
    """Return the sources and numbers of every gap that was told."""
    events = AuditEvent.objects.filter(code="GW008").order_by("id")
    return [(e.details["source"], e.details["lost"]) for e in events]


def test_what_was_told_and_came_is_no_gap(gw1: Gateway, device: Device) -> None:
    ingest(gw1, totals(1, 0), flow(2, device), flow(3, device))
    ingest(gw1, totals(4, 2), flow(5, device), totals(6, 3))
    assert lost() == []
    assert EvidenceTotals.objects.get().opened == 3


def test_f16_records_taken_out_and_numbered_anew_are_found(
    gw1: Gateway, device: Device
) -> None:
    ingest(gw1, totals(1, 0), flow(2, device), totals(3, 5))
    assert lost() == [("portal_totals", 4)]
    assert codes()[-1] == "GW008A"
    ingest(gw1, flow(4, device), totals(5, 6))
    assert lost() == [("portal_totals", 4)]


def test_f16_records_taken_out_of_the_sequence_are_found_once(
    gw1: Gateway, device: Device
) -> None:
    ingest(gw1, totals(1, 0), flow(2, device), totals(7, 5))
    assert lost() == [("sequence", 4)]


def test_what_the_gateway_could_not_write_is_no_second_gap(
    gw1: Gateway, device: Device
) -> None:
    gap = {"seq": 2, "kind": "gap", "at": moment(), "source": "spool", "lost": 3}
    ingest(gw1, totals(1, 0), gap, flow(3, device), totals(4, 4))
    assert lost() == [("spool", 3)]


def test_totals_that_begin_anew_are_told_and_counted_from_there(
    gw1: Gateway, device: Device
) -> None:
    ingest(gw1, totals(1, 900), totals(2, 3, since="b"))
    assert lost() == [("portal_totals", 0)]
    ingest(gw1, flow(3, device), totals(4, 5, since="b"))
    assert lost()[1:] == [("portal_totals", 1)]


def test_losses_without_measure_stop_no_batch(gw1: Gateway) -> None:
    gaps = [
        {"seq": n, "kind": "gap", "at": moment(), "source": "spool", "lost": 2**53 - 1}
        for n in range(2, 1100)
    ]
    ingest(gw1, totals(1, 0), *gaps)
    assert EvidenceTotals.objects.get().excused == 2**53 - 1
