"""Faults of one gateway, its agent a process, the portal scripted."""

from __future__ import annotations

import time

from tests.faults.field import field
from tests.faults.isolated import isolated
from tests.gateway.netns.lab import until

LEASE = 6.0


@isolated()
def test_fault_10_partitioned_gateway_stays_then_closes_and_loses_no_evidence() -> None:
    with field(lease=LEASE) as made:
        alice = made.probe("alice")
        fresh = made.probe("bob", fresh=True)
        alice.opens()
        fresh.opens()
        made.partition()
        cut = time.monotonic()
        assert alice.is_open()
        assert fresh.is_open()
        closed = alice.closes(LEASE + 1)
        assert 1.0 < closed - cut <= LEASE
        assert not fresh.is_open()
        made.heal()
        alice.opens()
        flows = {(e.tuple.source, e.tuple.source_port) for e in made.flows() if e.mark}
        until(
            lambda: len({str(r["flow"]) for r in made.records("open")}) >= len(flows),
            "the evidence of the time apart",
        )
        assert made.records("gap") == []
