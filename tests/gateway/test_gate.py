"""What the kernel refuses closes; nothing it refuses ends the agent or is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway.fakes import entry, tcp
from tests.gateway.test_engine import Bench
from tests.gateway.test_leases import QUICK_AND_LAX, flows, silent
from tests.gateway.world import ALICE


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a gateway with a flow that no grant allows any more."""
    made = Bench(tmp_path)
    made.receive(1)
    made.kernel.flows = [entry(1, ALICE), entry(2, ALICE, tcp(ALICE, dport=22))]
    return made


def test_flows_that_could_not_be_cut_are_cut_a_second_later(bench: Bench) -> None:
    bench.kernel.refuses_flows = True
    assert bench.engine.sweep() == 0
    assert bench.engine.keep_terms(is_healthy=True) == 0
    bench.kernel.refuses_flows = False
    assert bench.engine.keep_terms(is_healthy=True) == 1
    assert flows(bench) == [1]
    assert bench.engine.keep_terms(is_healthy=True) == 0


def test_nothing_is_renewed_while_flows_that_ended_go_on(bench: Bench) -> None:
    bench.kernel.refuses_flows = True
    bench.engine.sweep()
    assert not bench.engine.renew(is_healthy=True)
    assert bench.engine.gate.reason == "flows that have ended could not be cut"
    bench.kernel.refuses_flows = False
    bench.engine.keep_terms(is_healthy=True)
    assert bench.engine.gate.is_open


def test_a_closed_lease_whose_flows_could_not_be_cut_is_not_forgotten(
    bench: Bench,
) -> None:
    bench.receive(2, QUICK_AND_LAX)
    bench.kernel.flows = [entry(1, ALICE)]
    bench.kernel.refuses_flows = True
    assert silent(bench, 121) == 0
    bench.kernel.refuses_flows = False
    assert silent(bench, 1) == 1


def test_a_lease_that_the_kernel_did_not_let_be_closed_is_closed_later(
    bench: Bench,
) -> None:
    bench.receive(2, QUICK_AND_LAX)
    bench.kernel.flows = [entry(1, ALICE)]
    bench.kernel.refuses_transactions = True
    assert silent(bench, 121) == 0
    bench.kernel.refuses_transactions = False
    assert silent(bench, 1) == 1
    assert list(bench.engine.withheld) == [3]


def test_a_kernel_that_says_nothing_of_the_table_opens_nothing(bench: Bench) -> None:
    bench.kernel.refuses_looks = True
    assert not bench.engine.renew(is_healthy=True)
    assert "refused" in bench.engine.gate.reason
