"""The whole agent in memory: threads, portal, kernel, evidence."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.agent import Agent, Backoff, SystemClock
from gateway.engine import Engine
from gateway.evidence import Collector, Uploader
from gateway.journal import Journal
from gateway.naming import Naming
from gateway.spool import Spool
from gateway.store import Store
from gateway.telemetry import Telemetry
from gateway.trust import Judge
from gateway.types import Entry, Logged, Overrun
from policies.compiler.nftables import base_text
from policies.compiler.types import Facts
from tests.gateway.fakes import (
    LEASE,
    FakeEvents,
    FakeKernel,
    FakePortal,
    FakeResolver,
    entry,
    logged,
)
from tests.gateway.world import (
    ALICE,
    GROUP,
    facts,
    grant,
    signer,
    snapshot,
    without,
)
from tests.policies.compiler.build import application


def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


class PacedEvents(FakeEvents):
    """Events that come no faster than a real reader's, or fail once."""

    fails = False

    def read(self, timeout: float) -> Iterator[Logged | Entry | Overrun]:
        """Wait a moment, then give out what waits."""
        time.sleep(min(timeout, 0.01))
        if self.fails:
            self.fails = False
            raise OSError("gone")
        yield from super().read(timeout)


class Bench:
    """An agent whose portal and kernel are in memory."""

    def __init__(self, directory: Path) -> None:
        """Put it together as `running.run` does."""
        self.clock = SystemClock()
        self.portal = FakePortal(wait=0.2)
        self.kernel = FakeKernel()
        self.resolver = FakeResolver()
        self.events = PacedEvents()
        self.spool = Spool(directory / "spool")
        self.telemetry = Telemetry(self.clock)
        judge = Judge(anchor=signer().anchor())
        collector = Collector(
            events=self.events,
            entries=lambda: list(self.kernel.flows),
            evict=lambda: None,
            spool=self.spool,
            journal=Journal(directory),
            clock=self.clock,
            telemetry=self.telemetry,
        )
        self.engine = Engine(
            judge=judge,
            store=Store(directory),
            kernel=self.kernel,
            observer=collector,
            clock=self.clock,
            boot_id="boot",
        )
        self.agent = Agent(
            engine=self.engine,
            collector=collector,
            uploader=Uploader(portal=self.portal, spool=self.spool, judge=judge),
            naming=Naming(
                engine=self.engine,
                resolver=self.resolver,
                store=Store(directory),
                clock=self.clock,
                jitter=lambda: 0.0,
            ),
            portal=self.portal,
            clock=self.clock,
            boot_id="boot",
            telemetry=self.telemetry,
        )

    def stop(self) -> None:
        """Stop it as a signal does."""
        self.agent.stop()
        self.agent.join()
        self.spool.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Return a bench that is stopped at the end."""
    made = Bench(tmp_path)
    yield made
    made.stop()


def test_a_published_generation_is_enforced_acknowledged_and_opens_the_gate(
    bench: Bench,
) -> None:
    bench.agent.start()
    bench.portal.publish(snapshot(now=bench.clock.now()))
    until(lambda: bench.portal.acknowledgements)
    until(lambda: any("timeout 60s" in str(t) for _, t in bench.kernel.done))
    assert bench.portal.acknowledgements[0]["generation"] == 1


def test_a_revocation_reaches_the_kernel_and_its_flow_is_told_as_revoked(
    bench: Bench,
) -> None:
    bench.portal.publish(snapshot(now=bench.clock.now()))
    bench.agent.start()
    until(lambda: bench.engine.generation == 1)
    flow = entry(1, ALICE)
    bench.kernel.flows = [flow]
    bench.events.waiting.append(logged(ALICE))
    until(lambda: any(r["kind"] == "open" for r in bench.portal.records))
    bench.portal.publish(
        snapshot(2, of=without([ALICE], facts()), now=bench.clock.now())
    )
    until(lambda: bench.engine.generation == 2)
    bench.events.waiting.append(flow)
    until(lambda: any(r["kind"] == "close" for r in bench.portal.records))
    closed = [r for r in bench.portal.records if r["kind"] == "close"][-1]
    assert closed["reason"] == "revoked"
    assert bench.portal.acknowledgements[-1]["flows_cut"] == 1


def test_a_delta_that_leads_nowhere_costs_one_request_and_is_no_refusal(
    bench: Bench,
) -> None:
    bench.portal.publish(snapshot(now=bench.clock.now()))
    bench.agent.start()
    until(lambda: bench.engine.generation == 1)
    bench.portal.delta = b'{"delta":{}}'
    bench.portal.publish(snapshot(2, now=bench.clock.now()))
    until(lambda: bench.engine.generation == 2)
    assert bench.portal.offers.count(False) == 1
    assert not any(a["error"] for a in bench.portal.acknowledgements)


def test_a_portal_that_insists_on_a_delta_is_asked_with_growing_delays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def next_delay(_: Backoff) -> float:
        waited.append(0.01)
        return waited[-1]

    bench.portal.publish(snapshot(now=bench.clock.now()))
    bench.agent.start()
    until(lambda: bench.engine.generation == 1)
    monkeypatch.setattr(Backoff, "next", next_delay)
    bench.portal.delta, bench.portal.insists_on_delta = b'{"delta":{}}', True
    bench.portal.publish(snapshot(2, now=bench.clock.now()))
    until(lambda: waited)
    bench.portal.insists_on_delta = False
    until(lambda: bench.engine.generation == 2)


def test_a_kernel_that_refuses_to_list_flows_ends_nothing(bench: Bench) -> None:
    now = bench.clock.now()
    ending = replace(
        facts(), grants=(grant(9, GROUP, 3, end=now + timedelta(seconds=0.5)),)
    )
    bench.portal.publish(snapshot(now=now, of=ending))
    bench.agent.start()
    until(lambda: bench.engine.gate.is_open)
    bench.kernel.refuses_flows = True
    # The grant ends by itself, and the agent tries to cut its flows.
    until(lambda: not bench.engine.renew(is_healthy=True))
    bench.kernel.refuses_flows = False
    until(lambda: bench.engine.gate.is_open)


def test_a_portal_that_asks_is_shown_what_is_held_and_below_what_nothing_is_taken(
    bench: Bench,
) -> None:
    first = snapshot(now=bench.clock.now())
    bench.portal.publish(first)
    bench.agent.start()
    until(lambda: bench.engine.generation == 1)
    bench.portal.asks_revoked = True
    until(lambda: bench.portal.shown)
    held, notices, floor = bench.portal.shown[0]
    assert json.loads(held) == json.loads(signer().snapshot(first))
    assert (notices, floor) == ((), 2)


def test_a_notice_is_enforced_and_reported_while_a_poll_waits(bench: Bench) -> None:
    bench.portal.publish(snapshot(now=bench.clock.now()))
    bench.agent.start()
    until(lambda: bench.engine.generation == 1)
    bench.kernel.flows = [entry(1, ALICE)]
    bench.portal.give_notice(4, signer().notice(4, "alice", devices=[ALICE]))
    until(lambda: bench.portal.reports)
    assert (bench.portal.reports[0]["number"], bench.engine.notice) == (4, 4)
    assert bench.portal.reports[0]["flows_cut"] == 1
    assert len(bench.portal.reports) == 1
    assert bench.engine.generation == 1


def test_a_notice_that_is_not_the_portals_ends_nothing(bench: Bench) -> None:
    bench.portal.publish(snapshot(now=bench.clock.now()))
    bench.portal.give_notice(4, signer(2).notice(4, "alice"))
    bench.agent.start()
    until(lambda: bench.engine.generation == 1)
    bench.portal.give_notice(4, signer().notice(4, "alice", devices=[ALICE]))
    until(lambda: bench.portal.reports)
    assert bench.engine.notice == 4


def named_world() -> Facts:
    """Return the world with application 3 by name."""
    by_name = application(3, "db.example.com@10.50.0.0/24 tcp 8080")
    return replace(facts(), applications=(by_name, facts().applications[1]))


def test_a_name_reaches_the_kernel_and_is_told_to_the_portal(bench: Bench) -> None:
    bench.resolver.addresses["db.example.com"] = ["10.50.0.10", "192.0.2.1"]
    bench.agent.start()
    bench.portal.publish(snapshot(of=named_world(), now=bench.clock.now()))
    until(lambda: any("10.50.0.10 timeout" in str(t) for _, t in bench.kernel.done))
    until(lambda: bench.portal.told)
    assert bench.portal.told[0] == {"db.example.com": ("10.50.0.10",)}
    assert not any("192.0.2.1" in str(text) for _, text in bench.kernel.done)


def test_a_portal_that_takes_no_names_is_asked_again(bench: Bench) -> None:
    bench.resolver.addresses["db.example.com"] = ["10.50.0.10"]
    bench.portal.takes_names = False
    bench.agent.start()
    bench.portal.publish(snapshot(of=named_world(), now=bench.clock.now()))
    until(lambda: bench.resolver.asked)
    time.sleep(1.2)
    bench.portal.takes_names = True
    until(lambda: bench.portal.told)
    assert bench.engine.generation == 1


LIES: dict[str, tuple[dict[str, object], str]] = {
    "another gateway": ({"audience": "gw_2"}, "it is for 'gw_2', not 'gw_1'"),
    "older generation": ({"generation": 1}, "generation 1 is older than 2"),
    "another deployment": ({"deployment": "elsewhere"}, "of deployment 'elsewhere'"),
}


@pytest.mark.parametrize(("change", "says"), LIES.values(), ids=LIES.keys())
def test_a_snapshot_not_for_here_and_now_changes_nothing_and_is_told_once(
    bench: Bench, change: dict[str, object], says: str
) -> None:
    bench.portal.publish(snapshot(2, now=bench.clock.now()))
    bench.agent.start()
    until(lambda: bench.engine.generation == 2)
    before = dict(bench.kernel.held)
    lie = snapshot(3, of=without([ALICE], facts()), now=bench.clock.now())
    bench.portal.forced = replace(lie, **change)  # type: ignore[arg-type]
    until(lambda: any(a["error"] for a in bench.portal.acknowledgements))
    time.sleep(0.6)
    [error] = [str(a["error"]) for a in bench.portal.acknowledgements if a["error"]]
    assert error.startswith("refused: ")
    assert says in error
    assert (bench.engine.generation, bench.kernel.held) == (2, before)


def test_a_refused_snapshot_is_reported_once_and_recovery_too(bench: Bench) -> None:
    now = bench.clock.now()
    bench.portal.publish(snapshot(2, now=now))
    bench.agent.start()
    until(lambda: bench.engine.generation == 2)
    bench.portal.signer = signer(2)
    until(lambda: any(a["error"] for a in bench.portal.acknowledgements))
    time.sleep(0.6)
    errors = [a["error"] for a in bench.portal.acknowledgements if a["error"]]
    assert errors == ["refused: no pinned key signed it"]
    bench.portal.signer = signer()
    until(lambda: not bench.portal.acknowledgements[-1]["error"])


def test_a_thread_that_fails_ends_the_agent_loudly(bench: Bench) -> None:
    bench.agent.start()
    bench.events.fails = True
    with pytest.raises(OSError, match="gone"):
        bench.agent.wait()


def test_a_flushed_ruleset_is_closed_restored_and_told(bench: Bench) -> None:
    bench.portal.publish(snapshot(now=bench.clock.now()))
    bench.agent.start()
    until(lambda: bench.engine.generation)
    until(lambda: any(str(t).startswith(LEASE) for _, t in bench.kernel.done))
    bench.kernel.done.clear()
    bench.kernel.is_flushed = True
    until(lambda: any(str(t).startswith(LEASE) for _, t in bench.kernel.done))
    done = [text for _, text in bench.kernel.done]
    assert done[0] == base_text("wg0")
    until(lambda: [r for r in bench.portal.records if r["kind"] == "drift"])
    (drift,) = [r for r in bench.portal.records if r["kind"] == "drift"]
    assert drift["what"] == "the table is gone"
    assert isinstance(drift["repaired_ms"], int)


def test_stopping_leaves_the_gate_to_the_kernel(bench: Bench) -> None:
    bench.portal.publish(snapshot(now=bench.clock.now()))
    bench.agent.start()
    until(lambda: any(str(t).startswith(LEASE) for _, t in bench.kernel.done))
    until(lambda: "timeout 60s" in str(bench.kernel.done[-1]))
    bench.stop()
    assert "timeout 60s" in str(bench.kernel.done[-1][1])
    assert len(bench.kernel.held) == 2


def test_delays_grow_to_a_limit_and_start_short_again() -> None:
    backoff = Backoff()
    delays = [backoff.next() for _ in range(10)]
    assert 0.25 <= delays[0] <= 0.5
    assert 7.5 <= delays[-1] <= 15.0
    backoff.reset()
    assert backoff.next() <= 0.5
