"""A device's part of a snapshot judges its packets as the whole does. Pure."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from policies.compiler.evaluate import verdict
from policies.compiler.narrow import of_device
from policies.compiler.types import Facts
from tests.policies.compiler.build import NOW, snapshot
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


def test_of_a_stranger_there_is_no_part() -> None:
    part = of_device(snapshot(company()), 99)
    assert (part.peers, part.subjects, part.grants) == ((), (), ())
