"""Handshakes and endpoints are told when they change, a bounded number at once."""

from __future__ import annotations

from gateway.sightings import MOST, Sightings
from gateway.types import Sighting
from policies.evidence import parse_records
from policies.evidence_records import HandshakeRecord
from tests.gateway.world import NOW

HERE = Sighting(handshake_ns=10**18 + 5000, endpoint="192.0.2.1:51820", received=3)
DEVICES = {"alice": 7}


def told(sightings: Sightings, **seen: Sighting) -> list[dict[str, object]]:
    return list(sightings.changed(seen, devices=DEVICES, now=NOW))


def test_a_handshake_is_told_once() -> None:
    sightings = Sightings()
    (record,) = told(sightings, alice=HERE)
    assert (record["device"], record["endpoint"]) == (7, "192.0.2.1:51820")
    assert record["handshake_at"] == "2001-09-09T01:46:40.000005Z"
    assert told(sightings, alice=HERE) == []


def test_an_endpoint_that_changes_without_a_handshake_is_told() -> None:
    sightings = Sightings()
    told(sightings, alice=HERE)
    moved = Sighting(handshake_ns=HERE.handshake_ns, endpoint="[2001:db8::1]:1")
    (record,) = told(sightings, alice=moved)
    (parsed,) = parse_records([{"seq": 1, **record}])
    assert isinstance(parsed, HandshakeRecord)
    assert (str(parsed.address), parsed.port) == ("2001:db8::1", 1)


def test_more_bytes_alone_are_not_told() -> None:
    sightings = Sightings()
    told(sightings, alice=HERE)
    busy = Sighting(
        handshake_ns=HERE.handshake_ns, endpoint=HERE.endpoint, received=10**9
    )
    assert told(sightings, alice=busy) == []


def test_who_never_came_and_who_is_no_device_are_not_told() -> None:
    assert told(Sightings(), alice=Sighting(), stranger=HERE) == []


def test_many_at_once_are_told_over_several_readings() -> None:
    sightings, devices = Sightings(), {f"k{n}": n + 1 for n in range(MOST + 50)}
    seen = dict.fromkeys(devices, HERE)
    counts = [
        len(list(sightings.changed(seen, devices=devices, now=NOW))) for _ in range(3)
    ]
    assert counts == [MOST, 50, 0]
