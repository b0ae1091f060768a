"""Rules of a verdict."""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.compiler.evaluate import (
    Packet,
    Reason,
    Verdict,
    device_part,
    device_parts,
    verdict,
)
from policies.compiler.types import Facts
from tests.policies.compiler.build import NOW, snapshot
from tests.policies.compiler.examples import EVENING, SESSION, company, office
from tests.policies.compiler.strategies import edge_packets, policies

TCP, UDP, ICMP, ESP = 6, 17, 1, 50


def judge(
    source: str,
    target: str,
    protocol: int,
    port: int | None = None,
    *,
    now: datetime = NOW,
) -> Verdict:
    packet = Packet(
        source=ip_address(source),
        destination=ip_address(target),
        protocol=protocol,
        port=port,
    )
    return verdict(snapshot(company()), packet, now=now)


@pytest.mark.parametrize(
    ("source", "target", "protocol", "port", "grants"),
    [
        ("100.64.0.2", "10.20.0.0", TCP, 80, [10]),
        ("100.64.0.2", "10.20.3.255", TCP, 443, [10]),
        ("100.64.0.1", "10.20.1.5", TCP, 443, [10, 11]),
        ("100.64.0.7", "10.20.1.5", TCP, 5432, [11]),
        ("100.64.0.2", "10.20.1.1", ICMP, None, [10]),
        ("100.64.0.3", "10.20.1.1", UDP, 53, [13, 14]),
        ("100.64.0.3", "10.20.1.1", ESP, None, [13]),
        ("fd5e:e4a6:e000::3", "fd30::1", TCP, 22, [13]),
    ],
)
def test_every_grant_that_allows_is_named(
    source: str, target: str, protocol: int, port: int | None, grants: list[int]
) -> None:
    judged = judge(source, target, protocol, port)
    assert judged.is_allowed
    assert [g.id for g in judged.grants] == grants


@pytest.mark.parametrize(
    ("source", "target", "protocol", "port", "reason"),
    [
        ("100.64.0.2", "10.20.4.0", TCP, 80, Reason.NO_GRANT),
        ("100.64.0.2", "10.20.0.1", TCP, 79, Reason.NO_GRANT),
        ("100.64.0.2", "10.20.1.5", TCP, 5432, Reason.NO_GRANT),
        ("100.64.0.3", "10.20.1.1", TCP, 0, Reason.NO_GRANT),
        ("100.64.0.3", "10.20.1.1", 0, None, Reason.NO_GRANT),
        ("100.64.0.3", "10.20.1.1", 58, None, Reason.NO_GRANT),
        ("fd5e:e4a6:e000::3", "fd30::1", ICMP, None, Reason.NO_GRANT),
        ("100.64.0.3", "10.20.0.1", ESP, None, Reason.NO_GRANT),
        ("100.64.0.99", "10.20.0.1", TCP, 80, Reason.NO_DEVICE),
        ("100.64.0.1", "100.64.0.2", TCP, 80, Reason.LATERAL),
    ],
)
def test_what_was_not_granted_by_name_is_denied(
    source: str, target: str, protocol: int, port: int | None, reason: Reason
) -> None:
    judged = judge(source, target, protocol, port)
    assert not judged.is_allowed
    assert (judged.reason, judged.grants) == (reason, ())


def test_a_grant_ends_without_a_new_snapshot() -> None:
    assert judge("100.64.0.1", "10.20.1.5", TCP, 5432).is_allowed
    assert not judge("100.64.0.1", "10.20.1.5", TCP, 5432, now=EVENING).is_allowed


def test_a_session_ends_without_a_new_snapshot() -> None:
    judged = judge("100.64.0.3", "10.20.1.1", ICMP, now=SESSION)
    assert judged.reason is Reason.NO_DEVICE


@given(facts=policies(), seed=st.integers(0, 1000), hours=st.integers(0, 3))
def test_a_devices_part_judges_it_as_the_whole_does(
    facts: Facts, seed: int, hours: int
) -> None:
    whole, now = snapshot(facts), NOW + timedelta(hours=hours)
    held = {address: p.device_id for p in whole.peers for address in p.addresses}
    for packet in edge_packets(whole, seed=seed, count=20):
        if packet.source in held:
            part = device_part(whole, held[packet.source])
            assert verdict(part, packet, now=now) == verdict(whole, packet, now=now)


def test_of_a_stranger_there_is_no_part() -> None:
    part = device_part(snapshot(company()), 99)
    assert (part.peers, part.subjects, part.grants) == ((), (), ())


def test_the_parts_of_some_are_the_part_of_each() -> None:
    whole = snapshot(office())
    asked = [peer.device_id for peer in whole.peers[1:]]
    parts = device_parts(whole, asked)
    assert parts == {device: device_part(whole, device) for device in asked}
    assert any(part.conditions for part in parts.values())
