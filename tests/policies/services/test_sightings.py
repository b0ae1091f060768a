"""Where devices come from is stored, and a key that roams too much is an alert."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from audit.models import AuditEvent
from peers.models import Device, Gateway
from policies import services
from policies.models import Grant, TunnelSighting
from policies.services import sightings
from policies.services.sightings import ROAMS
from portal.accounts.models import User
from tests.peers.makers import Machine
from tests.policies.makers import NOW, agent, moment

pytestmark = pytest.mark.django_db


@pytest.fixture
def device(alice: User, alices_grant: Grant) -> Device:
    """Alice's device."""
    assert alices_grant.pk
    return Machine().enroll(alice, now=NOW)


def sighting(seq: int, device: int, endpoint: str | None, second: float) -> Any:  # noqa: ANN401 -- as JSON
    return {
        "seq": seq,
        "kind": "handshake",
        "at": moment(seconds=second),
        "device": device,
        "endpoint": endpoint,
        "handshake_at": moment(seconds=second),
        "bytes_up": 1,
        "bytes_down": 2,
    }


def ingest(gateway: Gateway, *records: Any) -> None:  # noqa: ANN401 -- as JSON
    services.ingest_evidence(
        gateway=gateway, records=list(records), actor=agent(gateway), now=NOW
    )


def flapping(device: Device, moves: int, *, every: float, start: int = 1) -> list[Any]:
    """Return sightings that go back and forth between two networks."""
    places = ("198.51.100.7:51820", "[2001:db8::7]:40000")
    return [
        sighting(start + n, device.pk, places[n % 2], n * every)
        for n in range(moves + 1)
    ]


def alerts() -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(code="SE004"))


def test_a_handshake_is_stored_with_where_it_came_from(
    gw1: Gateway, device: Device
) -> None:
    ingest(gw1, sighting(1, device.pk, "[2001:db8::1]:51820", 0))
    found = TunnelSighting.objects.get()
    assert (found.address, found.port) == ("2001:db8::1", 51820)
    assert found.device == device
    assert found.handshake_at is not None


def test_e13_more_roams_a_minute_than_a_person_makes_are_one_alert(
    gw1: Gateway, device: Device
) -> None:
    ingest(gw1, *flapping(device, ROAMS + 3, every=2))
    (alert,) = alerts()
    assert (alert.device_id, alert.person_id) == (device.ref.id, device.owner.ref.id)
    assert alert.details["addresses"] == ["198.51.100.7", "2001:db8::7"]
    ingest(gw1, *flapping(device, ROAMS + 3, every=2, start=100))
    assert len(alerts()) == 1


def test_e14_one_key_in_two_places_is_seen_over_batches(
    gw1: Gateway, device: Device
) -> None:
    for record in flapping(device, ROAMS + 1, every=5):
        ingest(gw1, record)
    assert len(alerts()) == 1


def test_a_person_on_the_move_is_no_alert(gw1: Gateway, device: Device) -> None:
    ingest(gw1, *flapping(device, 3, every=10))
    ingest(gw1, *flapping(device, 20, every=30, start=100))
    assert alerts() == []


def test_another_port_is_no_move(gw1: Gateway, device: Device) -> None:
    ports = (sighting(n, device.pk, f"198.51.100.7:{n}", n) for n in range(1, 30))
    ingest(gw1, *ports)
    assert alerts() == []


def test_a_device_that_is_not_here_is_passed_over(gw1: Gateway) -> None:
    ingest(gw1, sighting(1, 987654, None, 0))
    assert not TunnelSighting.objects.exists()


@pytest.mark.parametrize("endpoint", ["x", "1.2.3.4", "1.2.3.4:99999", "a.b:1"])
def test_a_wrong_endpoint_is_refused_alone(
    gw1: Gateway, device: Device, endpoint: str
) -> None:
    ingest(gw1, sighting(1, device.pk, endpoint, 0))
    assert AuditEvent.objects.latest("id").details["source"] == "refused"


def test_what_one_gateway_dates_ahead_silences_no_other(
    gw1: Gateway, device: Device
) -> None:
    ahead = 365 * 86400
    for record in (records := flapping(device, ROAMS + 2, every=1)):
        record["at"] = moment(seconds=ahead + record["seq"])
    ingest(gw1, *records)
    told = len(alerts())
    soon = NOW + timedelta(hours=1)
    assert not TunnelSighting.objects.filter(seen_at__gt=soon).exists()
    later = NOW + timedelta(minutes=40)
    more = flapping(device, ROAMS + 2, every=1, start=100)
    for record in more:
        record["at"] = moment(seconds=2300 + record["seq"] - 100)
    services.ingest_evidence(gateway=gw1, records=more, actor=agent(gw1), now=later)
    assert len(alerts()) == told + 1


def test_what_came_before_and_after_a_batch_is_not_read(
    gw1: Gateway, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(gw1, *flapping(device, ROAMS - 1, every=1))
    read: list[int] = []
    roaming = sightings._roaming  # noqa: SLF001 -- what is judged

    def counted(seen: Iterable[TunnelSighting]) -> Sequence[TunnelSighting]:
        rows = [*seen]
        read.append(len(rows))
        return roaming(rows)

    monkeypatch.setattr(sightings, "_roaming", counted)
    one = sighting(100, device.pk, "203.0.113.9:1", 600)
    ingest(gw1, one)
    assert read == [1]
    assert alerts() == []


def firsts() -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(code="DV013").order_by("pk"))


def test_the_first_handshake_at_a_gateway_is_an_event_and_the_second_is_none(
    gw1: Gateway, device: Device, alice: User
) -> None:
    ingest(gw1, sighting(1, device.pk, "198.51.100.7:51820", 1))
    ingest(gw1, sighting(2, device.pk, "198.51.100.7:51820", 2))
    (event,) = firsts()
    assert (event.device_id, event.person_id) == (device.ref.id, alice.ref.id)
    assert event.gateway_id == gw1.ref.id
    assert event.details["endpoint"] == "198.51.100.7"


def test_a_peer_without_a_handshake_is_no_first(gw1: Gateway, device: Device) -> None:
    ingest(gw1, {**sighting(1, device.pk, None, 1), "handshake_at": None})
    assert firsts() == []
