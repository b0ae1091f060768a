"""What a snapshot may let pass, whatever its names stood for. Pure."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from policies.compiler.evaluate import Packet, verdict
from policies.compiler.narrow import of_device, whatever_names_stand_for, without_keys
from policies.compiler.types import Facts
from policies.compiler.validate import check_snapshot
from tests.policies.compiler.build import (
    NOW,
    application,
    device,
    facts,
    grant,
    snapshot,
)
from tests.policies.compiler.examples import company
from tests.policies.compiler.strategies import edge_packets, policies


@given(facts=policies(), seed=st.integers(0, 1000), hours=st.integers(0, 3))
def test_a_devices_part_judges_it_as_the_whole_does(
    facts: Facts, seed: int, hours: int
) -> None:
    whole, now = snapshot(facts), NOW + timedelta(hours=hours)
    held = {address: p.device_id for p in whole.peers for address in p.addresses}
    for packet in edge_packets(whole, seed=seed, count=20):
        if packet.source in held:
            part = of_device(whole, held[packet.source])
            assert verdict(part, packet, now=now) == verdict(whole, packet, now=now)


def test_a_devices_part_has_what_it_was_granted_and_nothing_else() -> None:
    part = of_device(snapshot(company()), 7)
    assert {a.id for a in part.applications} == {g.application_id for g in part.grants}
    assert [peer.device_id for peer in part.peers] == [7]
    nobody = of_device(snapshot(company()), 99)
    assert (nobody.peers, nobody.grants, nobody.applications) == ((), (), ())


def test_names_may_stand_for_all_that_they_may() -> None:
    given = facts(
        devices=[device(1)],
        applications=[application(1, "db.example@10.0.0.0/8 tcp 443")],
        grants=[grant(1, "us_1", 1)],
    )
    packet = Packet(
        source=ip_address("100.64.0.1"),
        destination=ip_address("10.1.2.3"),
        protocol=6,
        port=443,
    )
    named = snapshot(given)
    assert not verdict(named, packet, now=NOW).is_allowed
    assert verdict(whatever_names_stand_for(named), packet, now=NOW).is_allowed


def test_without_keys_nothing_of_their_devices_is_left() -> None:
    whole = snapshot(company())
    key = next(peer.public_key for peer in whole.peers if peer.device_id == 7)
    left = without_keys(whole, {key})
    check_snapshot(left)
    assert {p.device_id for p in whole.peers} - {p.device_id for p in left.peers} == {7}
    assert not any(7 in members.device_ids for members in left.subjects)
    assert left.grants == whole.grants


def test_without_keys_of_nobody_is_the_very_same() -> None:
    whole = snapshot(company())
    assert without_keys(whole, {"A" * 43 + "="}) is whole
