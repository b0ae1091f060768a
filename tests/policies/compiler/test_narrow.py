"""A device's part of a snapshot judges its packets as the whole does. Pure."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from policies.compiler.evaluate import Packet, verdict
from policies.compiler.narrow import of_device, whatever_names_stand_for
from policies.compiler.types import Facts
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
def test_a_part_judges_its_device_as_the_whole_does(
    facts: Facts, seed: int, hours: int
) -> None:
    whole, now = snapshot(facts), NOW + timedelta(hours=hours)
    held = {address: p.device_id for p in whole.peers for address in p.addresses}
    for packet in edge_packets(whole, seed=seed, count=20):
        if packet.source in held:
            part = of_device(whole, held[packet.source])
            assert verdict(part, packet, now=now) == verdict(whole, packet, now=now)


def test_a_part_knows_nobody_else() -> None:
    part = of_device(snapshot(company()), 7)
    assert [peer.device_id for peer in part.peers] == [7]
    assert {number for entry in part.subjects for number in entry.device_ids} == {7}
    assert [grant.id for grant in part.grants] == [10, 11, 12]


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


def test_of_a_stranger_there_is_no_part() -> None:
    part = of_device(snapshot(company()), 99)
    assert (part.peers, part.subjects, part.grants) == ((), (), ())
