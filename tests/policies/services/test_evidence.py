"""Evidence is attributed by address and mark, stored once, and losses are told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.actor import SYSTEM
from audit.leaves import MAX_LENGTH
from audit.models import AuditEvent, Connection, FlowEvent
from peers import services as peers_services
from peers.keys import fingerprint
from peers.models import AddressLease, Device, Gateway
from policies import services
from policies.errors import EvidenceError
from policies.evidence import MAX_COUNT
from policies.models import AgentState, Grant
from portal.accounts.models import User
from tests.peers.makers import Machine, codes
from tests.policies.makers import NOW, agent, closed, denied, moment, opened

pytestmark = pytest.mark.django_db
BEFORE = NOW - timedelta(hours=1)


@pytest.fixture
def machine() -> Machine:
    """Alice's laptop."""
    return Machine()


@pytest.fixture
def device(machine: Machine, alice: User, alices_grant: Grant) -> Device:
    """Alice's device, enrolled an hour ago, with a grant."""
    assert alices_grant.pk
    return machine.enroll(alice, now=BEFORE)


def source(device: Device) -> str:
    return device.leases.get(address__contains=".").address


def ingest(gateway: Gateway, *records: dict[str, Any], spool: str = "") -> int:
    return services.ingest_evidence(
        gateway=gateway,
        records=list(records),
        spool=spool,
        actor=agent(gateway),
        now=NOW,
    )


def mine(device: Device, grant: Grant) -> dict[str, Any]:
    return {
        "device": device.pk,
        "source": source(device),
        "grant": grant.pk,
        "application": grant.application_id,
    }


def test_flow_is_its_persons(
    gw1: Gateway, device: Device, machine: Machine, alices_grant: Grant
) -> None:
    assert ingest(gw1, opened(1, **mine(device, alices_grant))) == 1
    found = Connection.objects.get()
    assert (found.person_id, found.device_id) == (device.owner.ref.id, device.ref.id)
    assert found.key_fingerprint == fingerprint(machine.public_key)
    assert (found.application_label, found.grant_id) == ("wiki", alices_grant.ref.id)
    assert codes()[-1] != "FL004A"


def test_close_brings_bytes_and_times(
    gw1: Gateway, device: Device, alices_grant: Grant
) -> None:
    tied = {"flow": "0a-1", "source": source(device), "device": device.pk}
    ingest(gw1, opened(1, **{**mine(device, alices_grant), **tied}), closed(2, **tied))
    found = Connection.objects.get()
    assert (found.bytes_up, found.bytes_down, found.end_reason) == (100, 2000, "closed")


def test_batch_sent_again_changes_nothing(
    gw1: Gateway, device: Device, alices_grant: Grant
) -> None:
    batch = [opened(1, **mine(device, alices_grant)), closed(2, device=device.pk)]
    assert ingest(gw1, *batch) == ingest(gw1, *batch) == 2
    assert FlowEvent.objects.count() == 2


def test_only_what_is_new_in_a_batch_is_taken(gw1: Gateway, device: Device) -> None:
    tied = {"device": device.pk, "source": source(device)}
    ingest(gw1, opened(1, **tied), opened(2, **tied))
    assert ingest(gw1, opened(2, **tied), opened(3, **tied)) == 3
    assert FlowEvent.objects.count() == 3


def test_empty_batch_says_how_far_it_came(gw1: Gateway, device: Device) -> None:
    ingest(gw1, opened(1, device=device.pk, source=source(device)))
    assert ingest(gw1) == 1


def test_records_that_cannot_be_read_make_an_event_that_can_be_sealed(
    gw1: Gateway,
) -> None:
    hidden = "\U000e0001" * 490
    zoned = [denied(n, source=f"fe80::1%{hidden}") for n in range(1, 12)]
    ingest(gw1, *zoned)
    event = AuditEvent.objects.get(code="GW008")
    assert event.details["lost"] == 11
    assert len(bytes(event.leaf or b"")) <= MAX_LENGTH


def test_malformed_batch_is_refused_with_one_event(gw1: Gateway) -> None:
    with pytest.raises(EvidenceError):
        ingest(gw1, opened(2), opened(1))
    assert not FlowEvent.objects.exists()
    assert not AgentState.objects.exists()
    assert codes() == ["GW013W"]


def test_poisoned_record_holds_nothing_back_and_is_one_alert(
    gw1: Gateway, device: Device
) -> None:
    before, tied = codes(), {"device": device.pk, "source": source(device)}
    poison = [opened(2, protocol=999), opened(4, at="9999-12-31T23:59:59.999999Z")]
    batch = [opened(1, **tied), poison[0], opened(3, **tied), poison[1]]
    assert ingest(gw1, *batch) == ingest(gw1, *batch) == 4
    assert list(FlowEvent.objects.values_list("sequence", flat=True)) == [1, 3]
    assert codes() == [*before, "GW008A"]
    event = AuditEvent.objects.latest("id")
    assert event.reason == "record 2 cannot be read: 999 is not between 0 and 255"
    assert (event.details["source"], event.details["lost"]) == ("refused", 2)
    assert '"protocol": 999' in event.details["examples"][0]["record"]


def test_close_after_the_revocation_is_still_its_persons(
    gw1: Gateway, device: Device
) -> None:
    tied = {"device": device.pk, "source": source(device)}
    peers_services.revoke_device(device=device, reason="x", actor=SYSTEM, now=NOW)
    ingest(
        gw1,
        closed(
            1,
            **tied,
            at=moment(seconds=2),
            started_at=moment(seconds=-60),
            ended_at=moment(seconds=1),
            reason="revoked",
        ),
    )
    assert Connection.objects.get().person_id == device.owner.ref.id
    assert "FL004A" not in codes()


def test_clock_a_little_ahead_of_the_portal_is_forgiven(
    gw1: Gateway, device: Device
) -> None:
    at = f"{BEFORE - timedelta(seconds=30):%Y-%m-%dT%H:%M:%S.%f}Z"
    ingest(gw1, opened(1, device=device.pk, source=source(device), at=at))
    assert Connection.objects.get().person_id == device.owner.ref.id


Spoil = Callable[[Device], dict[str, Any]]
STRANGE: dict[str, Spoil] = {
    "address nobody held": lambda device: {
        "device": device.pk,
        "source": "100.64.0.77",
    },
    "mark of another device": lambda device: {
        "device": device.pk + 1,
        "source": source(device),
    },
    "before the lease": lambda device: {
        "device": device.pk,
        "source": source(device),
        "at": f"{BEFORE - timedelta(hours=1):%Y-%m-%dT%H:%M:%S.%f}Z",
    },
}


@pytest.mark.parametrize("spoil", STRANGE.values(), ids=STRANGE.keys())
def test_flow_of_nobody_is_kept_and_alerts(
    gw1: Gateway, device: Device, spoil: Spoil
) -> None:
    before = codes()
    ingest(gw1, opened(1, **spoil(device)))
    found = Connection.objects.get()
    assert (found.person_id, found.key_fingerprint) == ("", "")
    assert codes() == [*before, "FL004A"]
    assert AuditEvent.objects.latest("id").details["sequences"] == [1]


def test_many_flows_of_nobody_are_one_alert(gw1: Gateway, device: Device) -> None:
    strange = [opened(number, source="100.64.0.77") for number in range(1, 40)]
    ingest(gw1, *strange)
    assert codes().count("FL004A") == 1
    assert AuditEvent.objects.latest("id").details["flows"] == 39
    assert device.pk


def test_denied_packet_without_mark_is_its_holders(
    gw1: Gateway, device: Device
) -> None:
    ingest(gw1, denied(1, device=None, source=source(device)))
    found = Connection.objects.get()
    assert (found.person_id, found.verdict) == (device.owner.ref.id, "denied")


def test_spoofed_packet_is_never_its_addresss_holders(
    gw1: Gateway, device: Device
) -> None:
    ingest(gw1, denied(1, device=None, source=source(device), reason="spoofed"))
    assert Connection.objects.get().person_id == ""
    assert codes()[-1] == "FL004A"


def test_denied_packet_of_a_device_just_cut_off_is_its_holders(
    gw1: Gateway, device: Device
) -> None:
    peers_services.revoke_device(device=device, reason="x", actor=SYSTEM, now=NOW)
    late = {"reason": "no_device", "at": moment(seconds=2)}
    ingest(gw1, denied(1, device=device.pk, source=source(device), **late))
    assert Connection.objects.get().person_id == device.owner.ref.id
    assert "FL004A" not in codes()


@pytest.mark.parametrize("seconds", [2, 3600])
@pytest.mark.parametrize("is_named", [True, False], ids=["named", "unnamed"])
def test_late_answer_to_a_revoked_device_is_told_apart_from_what_it_sent(
    gw1: Gateway, device: Device, seconds: int, *, is_named: bool
) -> None:
    peers_services.revoke_device(device=device, reason="x", actor=SYSTEM, now=NOW)
    answer = {"source": "10.1.0.7", "destination": source(device)}
    told = {"reason": "no_device", "at": moment(seconds=seconds), **answer}
    ingest(gw1, denied(1, device=device.pk if is_named else None, **told))
    found = Connection.objects.get()
    assert found.person_id == device.owner.ref.id
    assert found.end_reason == "inbound_no_device"
    assert FlowEvent.objects.get().body["reason"] == "no_device"
    assert "FL004A" not in codes()


INBOUND_DOUBTS: dict[str, Spoil] = {
    "another device named": lambda device: {"device": device.pk + 1},
    "before any lease": lambda _: {
        "device": None,
        "at": f"{BEFORE - timedelta(hours=1):%Y-%m-%dT%H:%M:%S.%f}Z",
    },
    "an address of nobody": lambda _: {"device": None, "destination": "100.64.0.77"},
}


@pytest.mark.parametrize("spoil", INBOUND_DOUBTS.values(), ids=INBOUND_DOUBTS.keys())
def test_answer_to_nobody_certain_is_nobodys_and_alerts(
    gw1: Gateway, device: Device, spoil: Spoil
) -> None:
    answer = {"source": "10.1.0.7", "destination": source(device)}
    ingest(gw1, denied(1, **{**answer, "reason": "no_device", **spoil(device)}))
    assert Connection.objects.get().person_id == ""
    assert codes()[-1] == "FL004A"


def test_packet_from_a_device_address_is_never_its_receivers(
    gw1: Gateway, device: Device, bob: User
) -> None:
    other = Machine().enroll(bob, name="next", now=NOW)
    between = {"source": source(other), "destination": source(device)}
    early = f"{BEFORE + timedelta(minutes=5):%Y-%m-%dT%H:%M:%S.%f}Z"
    ingest(gw1, denied(1, device=None, reason="no_device", at=early, **between))
    assert Connection.objects.get().person_id == ""


def test_reused_address_is_whose_it_was_then(
    gw1: Gateway, device: Device, bob: User
) -> None:
    lease = device.leases.get(address__contains=".")
    other = Machine().enroll(bob, name="next", now=NOW)
    AddressLease.objects.filter(pk=lease.pk).update(
        released_at=BEFORE + timedelta(minutes=10)
    )
    other.leases.filter(address__contains=".").update(address=lease.address)
    early = f"{BEFORE + timedelta(minutes=5):%Y-%m-%dT%H:%M:%S.%f}Z"
    ingest(
        gw1,
        denied(1, device=None, source=lease.address, at=early),
        denied(2, device=None, source=lease.address),
    )
    people = Connection.objects.order_by("pk").values_list("person_label", flat=True)
    assert list(people) == ["Alice", "Bob"]


NOTICES: dict[str, tuple[dict[str, Any], str]] = {
    "gap": ({"kind": "gap", "source": "nflog", "lost": 7}, "GW008A"),
    "start": ({"kind": "start", "boot_id": "b007"}, "GW007I"),
    "drift": ({"kind": "drift", "what": "a foreign peer"}, "GW006A"),
    "a crowded table": (
        {"kind": "flow_table", "state": "crowded", "entries": 80, "most": 100},
        "GW015A",
    ),
    "a table with room": (
        {"kind": "flow_table", "state": "relieved", "entries": 69, "most": 100},
        "GW015I",
    ),
}


@pytest.mark.parametrize(("body", "code"), NOTICES.values(), ids=NOTICES.keys())
def test_notice_becomes_one_event(
    gw1: Gateway, body: dict[str, Any], code: str
) -> None:
    record = {"seq": 1, "at": moment(), **body}
    ingest(gw1, record)
    ingest(gw1, record)
    assert codes() == [code]


def test_missing_numbers_are_a_gap(gw1: Gateway, device: Device) -> None:
    tied = {"device": device.pk, "source": source(device)}
    ingest(gw1, opened(1, **tied))
    assert ingest(gw1, opened(5, **tied), opened(7, **tied)) == 7
    event = AuditEvent.objects.latest("id")
    assert str(event) == "GW008A"
    assert event.details["lost"] == 4


def test_batch_costs_the_same_however_long(
    gw1: Gateway, device: Device, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    tied = {"device": device.pk, "source": source(device)}
    ingest(gw1, opened(1, **tied))
    with django_assert_max_num_queries(26):
        ingest(gw1, *(opened(number, **tied) for number in range(2, 202)))


A, B = "a" * 32, "b" * 32


def stored(gateway: Gateway) -> list[int]:
    """Return how the gateway numbered what is stored, in the portal's order."""
    rows = FlowEvent.objects.filter(gateway_id=gateway.ref.id).order_by("sequence")
    return [row.body["seq"] for row in rows]


def test_another_spool_begins_its_own_numbers_and_is_an_alert(
    gw1: Gateway, device: Device
) -> None:
    tied = {"device": device.pk, "source": source(device)}
    assert ingest(gw1, opened(1, **tied), opened(2, **tied), spool=A) == 2
    before = codes()
    for _ in range(2):
        assert ingest(gw1, opened(1, **tied), spool=B) == 1
    assert codes() == [*before, "GW022A"]
    assert stored(gw1) == [1, 2, 1]
    assert AuditEvent.objects.latest("id").details == {
        "spool": B,
        "before": A,
        "first": 1,
        "accepted_through": 0,
    }


def test_a_spool_that_comes_back_goes_on_where_it_was(
    gw1: Gateway, device: Device
) -> None:
    tied = {"device": device.pk, "source": source(device)}
    ingest(gw1, opened(1, **tied), opened(2, **tied), spool=A)
    ingest(gw1, opened(1, **tied), spool=B)
    before = codes()
    assert ingest(gw1, opened(2, **tied), opened(3, **tied), spool=A) == 3
    assert codes() == [*before, "GW022A"]
    assert stored(gw1) == [1, 2, 1, 3]


def test_numbers_skipped_within_a_spool_are_counted_there(
    gw1: Gateway, device: Device
) -> None:
    tied = {"device": device.pk, "source": source(device)}
    ingest(gw1, opened(1, **tied), spool=A)
    ingest(gw1, opened(700, **tied), spool=B)
    before = codes()
    ingest(gw1, opened(705, **tied), spool=B)
    assert codes() == [*before, "GW008A"]
    assert AuditEvent.objects.latest("id").details["lost"] == 4


def test_numbers_of_many_spools_never_lead_beyond_what_can_be_counted(
    gw1: Gateway, device: Device
) -> None:
    tied = {"device": device.pk, "source": source(device)}
    last = {**opened(2, **tied), "seq": MAX_COUNT}
    ingest(gw1, opened(1, **tied), last, spool=A)
    before = codes()
    with pytest.raises(EvidenceError, match="beyond what can be numbered"):
        ingest(gw1, opened(1, **tied), spool=B)
    assert codes() == [*before, "GW013W"]
    assert stored(gw1) == [1, MAX_COUNT]
    assert ingest(gw1, opened(2, **tied), spool=A) == MAX_COUNT


def test_an_agent_that_begins_to_name_its_spool_counts_on(
    gw1: Gateway, device: Device
) -> None:
    tied = {"device": device.pk, "source": source(device)}
    ingest(gw1, opened(1, **tied), opened(2, **tied))
    before = codes()
    assert ingest(gw1, opened(2, **tied), opened(3, **tied), spool=A) == 3
    assert codes() == before
    assert stored(gw1) == [1, 2, 3]


@pytest.mark.parametrize("spool", ["x", "A" * 32, "a" * 33, None, 5])
def test_a_malformed_spool_is_refused_with_one_event(
    gw1: Gateway, spool: object
) -> None:
    with pytest.raises(EvidenceError):
        services.ingest_evidence(
            gateway=gw1, records=[], spool=spool, actor=agent(gw1), now=NOW
        )
    assert codes() == ["GW013W"]
