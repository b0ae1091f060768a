"""What a snapshot may let pass, whatever its names stood for. Pure."""

from __future__ import annotations

from ipaddress import ip_address

from policies.compiler.evaluate import Packet, verdict
from policies.compiler.narrow import whatever_names_stand_for
from tests.policies.compiler.build import (
    NOW,
    application,
    device,
    facts,
    grant,
    snapshot,
)


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
