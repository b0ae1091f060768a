"""Verify, persist, apply, report; and the gate only with every health."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway import reconcile
from gateway.client import Answer
from gateway.engine import Engine
from gateway.errors import StaleError, StoreError, UntrustedError
from gateway.store import Store
from gateway.trust import Judge
from gateway.types import FlowTuple
from gateway.view import View
from policies.compiler.types import Facts
from tests.gateway.fakes import LEASE, FakeClock, FakeKernel, FakePortal, entry, tcp
from tests.gateway.world import ALICE, BOB, NOW, facts, signer, snapshot, without
from tests.policies.compiler.build import application, resolved


@dataclass
class Notes:
    """Hears what a collector would."""

    views: list[View] = field(default_factory=list)
    doomed: list[FlowTuple] = field(default_factory=list)

    def set_view(self, view: View) -> None:
        """Note a view."""
        self.views.append(view)

    def revoking(self, flows: Iterable[FlowTuple]) -> None:
        """Note flows."""
        self.doomed += flows


class Bench:
    """An engine with everything around it in memory, except the state directory."""

    def __init__(self, directory: Path) -> None:
        """Start a clock, a portal and a kernel."""
        self.clock = FakeClock()
        self.portal = FakePortal(clock=self.clock)
        self.kernel = FakeKernel()
        self.store = Store(directory)
        self.notes = Notes()
        self.engine = self.restarted()

    def restarted(self) -> Engine:
        """Return a fresh engine on the same state and kernel."""
        self.engine = Engine(
            judge=Judge(anchor=signer().anchor()),
            store=self.store,
            kernel=self.kernel,
            observer=self.notes,
            clock=self.clock,
            boot_id="boot",
        )
        return self.engine

    def receive(
        self, generation: int, of: Facts | None = None
    ) -> dict[str, object] | None:
        """Publish and poll once."""
        self.portal.publish(snapshot(generation, of=of))
        return self.poll()

    def poll(self) -> dict[str, object] | None:
        """Poll once."""
        answer = self.portal.poll(after=self.engine.generation, epoch=1)
        return self.engine.receive(answer)

    def live(self) -> list[str]:
        """Return the lease transactions that were run."""
        return [str(t) for _, t in self.kernel.done if str(t).startswith(LEASE)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a bench with nothing on it."""
    return Bench(tmp_path)


def test_a_generation_is_applied_and_acknowledged(bench: Bench) -> None:
    acknowledgement = bench.receive(1)
    assert acknowledgement is not None
    assert acknowledgement["applied_at"] == "2026-11-23T12:00:00.000000Z"
    assert (acknowledgement["generation"], acknowledgement["error"]) == (1, "")
    assert len(str(acknowledgement["observed_digest"])) == 64
    assert bench.engine.generation == 1
    assert len(bench.kernel.held) == 2


def test_an_acknowledgement_has_exactly_the_fields_of_the_protocol(
    bench: Bench,
) -> None:
    acknowledgement = bench.receive(1)
    assert acknowledgement is not None
    assert sorted(acknowledgement) == [
        "agent_version",
        "applied_at",
        "boot_id",
        "epoch",
        "error",
        "flows_cut",
        "generation",
        "observed_digest",
        "received_at",
        "timings",
    ]


def test_what_is_accepted_is_on_disk_before_it_is_applied(bench: Bench) -> None:
    bench.kernel.refuses_transactions = True
    bench.receive(1)
    assert bench.store.read_accepted() is not None


def test_what_is_refused_leaves_no_trace(bench: Bench) -> None:
    bench.receive(2)
    before, done = bench.store.read_accepted(), len(bench.kernel.done)
    older = snapshot(1)
    answer = Answer(
        snapshot=signer().snapshot(older), lease=signer().lease(older, issued=NOW)
    )
    with pytest.raises(StaleError):
        bench.engine.receive(answer)
    assert bench.store.read_accepted() == before
    assert len(bench.kernel.done) == done
    assert bench.engine.generation == 2


def test_a_snapshot_with_a_bad_lease_is_not_kept(bench: Bench) -> None:
    value = snapshot()
    answer = Answer(snapshot=signer().snapshot(value), lease=signer(2).lease(value))
    with pytest.raises(UntrustedError):
        bench.engine.receive(answer)
    assert bench.store.read_accepted() is None


def test_a_lease_without_a_snapshot_is_refused_while_none_is_held(
    bench: Bench,
) -> None:
    answer = Answer(snapshot=None, lease=signer().lease(snapshot()))
    with pytest.raises(UntrustedError, match="none is held"):
        bench.engine.receive(answer)


def test_a_lease_alone_changes_nothing_in_the_kernel(bench: Bench) -> None:
    bench.receive(1)
    done = len(bench.kernel.done)
    bench.clock.advance(20)
    assert bench.poll() is None
    assert len(bench.kernel.done) == done
    assert bench.engine.seconds_left() == 900


def test_a_revocation_removes_cuts_and_counts(bench: Bench) -> None:
    bench.receive(1)
    bench.kernel.flows = [
        entry(1, ALICE),
        entry(2, ALICE, tcp(ALICE, 2)),
        entry(3, BOB),
    ]
    bench.kernel.done.clear()
    acknowledgement = bench.receive(2, without([ALICE], facts()))
    assert acknowledgement is not None
    assert bench.kernel.names() == ["elements", "remove", "cut"]
    assert acknowledgement["flows_cut"] == 2
    assert [flow.mark for flow in bench.kernel.flows] == [BOB]
    assert bench.notes.doomed == [tcp(ALICE), tcp(ALICE, 2)]


def test_a_refused_transaction_still_removes_and_cuts(bench: Bench) -> None:
    bench.receive(1)
    bench.kernel.flows = [entry(1, ALICE)]
    bench.kernel.refuses_transactions = True
    acknowledgement = bench.receive(2, without([ALICE], facts()))
    assert acknowledgement is not None
    assert acknowledgement["applied_at"] is None
    assert "refused" in str(acknowledgement["error"]) or acknowledgement["error"]
    assert len(bench.kernel.held) == 1
    assert bench.kernel.flows == []


def test_what_was_refused_is_read_back_and_applied_anew(bench: Bench) -> None:
    bench.receive(1)
    bench.kernel.refuses_transactions = True
    bench.receive(2, without([ALICE], facts()))
    assert not bench.engine.renew(is_healthy=True)
    bench.kernel.refuses_transactions = False
    bench.receive(3, without([ALICE], facts()))
    asked = [name for name in bench.kernel.names() if name in {"nft", "elements"}]
    assert asked[-2:] == ["nft", "nft"]
    assert bench.engine.renew(is_healthy=True)


def test_a_change_of_elements_alone_goes_the_short_way(bench: Bench) -> None:
    bench.receive(1)
    bench.receive(2, without([ALICE], facts()))
    asked = [name for name in bench.kernel.names() if name in {"nft", "elements"}]
    assert asked[-1] == "elements"
    assert bench.engine.renew(is_healthy=True)


def test_a_refused_transaction_adds_no_peer_and_ends_the_lease(bench: Bench) -> None:
    bench.kernel.refuses_transactions = True
    bench.receive(1)
    assert bench.kernel.held == {}
    assert not bench.engine.renew(is_healthy=True)


def test_what_could_not_be_applied_is_asked_for_and_tried_again(bench: Bench) -> None:
    bench.kernel.refuses_peers = True
    bench.receive(1)
    assert bench.engine.generation == 0
    bench.kernel.refuses_peers = False
    acknowledgement = bench.poll()
    assert acknowledgement is not None
    assert (acknowledgement["error"], bench.engine.generation) == ("", 1)


def test_the_gate_opens_for_a_minute(bench: Bench) -> None:
    bench.receive(1)
    assert bench.engine.renew(is_healthy=True)
    assert "timeout 60s" in bench.live()[-1]


def test_the_gate_never_opens_beyond_the_lease(bench: Bench) -> None:
    bench.portal.lease_seconds = 30.5
    bench.receive(1)
    bench.clock.advance(10)
    assert bench.engine.renew(is_healthy=True)
    assert "timeout 20s" in bench.live()[-1]
    bench.clock.advance(20)
    assert not bench.engine.renew(is_healthy=True)


def test_the_gate_stays_shut_before_anything_is_held(bench: Bench) -> None:
    assert not bench.engine.renew(is_healthy=True)
    assert bench.live() == []


def test_the_gate_is_not_renewed_without_a_healthy_spool(bench: Bench) -> None:
    bench.receive(1)
    assert not bench.engine.renew(is_healthy=False)


@pytest.mark.parametrize("lost", ["is_gone", "is_flushed"])
def test_the_gate_is_not_renewed_while_something_is_gone(
    bench: Bench, lost: str
) -> None:
    bench.receive(1)
    setattr(bench.kernel, lost, True)
    assert not bench.engine.renew(is_healthy=True)
    setattr(bench.kernel, lost, False)
    assert bench.engine.renew(is_healthy=True)


def test_what_was_changed_by_hand_is_applied_anew_and_flows_are_judged(
    bench: Bench,
) -> None:
    bench.receive(1)
    believed = bench.engine.known()
    assert believed is not None
    bench.kernel.held["foreign"] = frozenset()
    bench.kernel.flows = [entry(1, 99)]
    found = replace(believed, ruleset=None, interface=bench.kernel.peers())
    acknowledgement = bench.engine.restore(found, believed=believed)
    assert acknowledgement is not None
    assert (acknowledgement["error"], bench.kernel.flows) == ("", [])
    assert "foreign" not in bench.kernel.held


def test_what_was_read_before_another_change_is_read_again(bench: Bench) -> None:
    bench.receive(1)
    believed = bench.engine.known()
    assert believed is not None
    found = replace(believed, interface=bench.kernel.peers())
    bench.receive(2, without([ALICE], facts()))
    bench.kernel.held["foreign"] = frozenset()
    bench.engine.restore(found, believed=believed)
    assert len(bench.kernel.held) == 1


def test_a_disk_that_refuses_the_snapshot_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(envelope: bytes) -> None:
        raise StoreError(f"full: {len(envelope)}")

    monkeypatch.setattr(bench.store, "write_accepted", refuse)
    with pytest.raises(StoreError):
        bench.receive(1)
    assert (bench.kernel.done, bench.engine.generation) == ([], 0)


def test_a_disk_that_refuses_only_the_lease_does_not_undo_enforcement(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(envelope: bytes) -> None:
        raise StoreError(f"full: {len(envelope)}")

    monkeypatch.setattr(bench.store, "write_lease", refuse)
    acknowledgement = bench.receive(1)
    assert acknowledgement is not None
    assert acknowledgement["error"] == ""


def test_the_gate_is_not_renewed_by_a_clock_that_jumped(bench: Bench) -> None:
    bench.receive(1)
    bench.clock.wall -= timedelta(hours=1)
    assert not bench.engine.renew(is_healthy=True)


def test_a_start_takes_up_what_was_accepted(bench: Bench) -> None:
    bench.receive(1)
    bench.clock.advance(60)
    acknowledgement = bench.restarted().open()
    assert acknowledgement is not None
    assert acknowledgement["generation"] == 1
    assert bench.engine.renew(is_healthy=True)
    assert bench.notes.views[-1].generation == 1


def test_a_start_with_a_lease_that_ran_out_closes_at_once(bench: Bench) -> None:
    bench.receive(1)
    bench.clock.advance(901)
    bench.restarted().open()
    assert "delete" in bench.live()[-1]
    assert not bench.engine.renew(is_healthy=True)


def test_a_first_start_is_closed(bench: Bench) -> None:
    assert bench.engine.open() is None
    assert "delete" in bench.live()[-1]


def test_a_start_keeps_the_generation_floor(bench: Bench) -> None:
    bench.receive(5)
    bench.restarted().open()
    older = snapshot(4)
    answer = Answer(snapshot=signer().snapshot(older), lease=signer().lease(older))
    with pytest.raises(StaleError):
        bench.engine.receive(answer)


def test_a_damaged_state_is_for_the_operator(bench: Bench) -> None:
    bench.receive(1)
    bench.store.write_accepted(b"{}")
    with pytest.raises(StoreError, match=r"accepted\.json"):
        bench.restarted().open()


def test_a_start_cuts_what_was_revoked_while_nobody_ran(bench: Bench) -> None:
    bench.receive(1)
    bench.store.write_accepted(
        signer().snapshot(snapshot(2, of=without([ALICE], facts())))
    )
    bench.kernel.flows = [entry(1, ALICE), entry(2, BOB)]
    bench.restarted().open()
    assert [flow.mark for flow in bench.kernel.flows] == [BOB]


def test_a_refusal_is_reported_with_what_is_held(bench: Bench) -> None:
    assert bench.engine.acknowledge_again("refused: x") is None
    bench.receive(1)
    acknowledgement = bench.engine.acknowledge_again("refused: x")
    assert acknowledgement is not None
    assert acknowledgement["error"] == "refused: x"
    assert (acknowledgement["applied_at"], acknowledgement["generation"]) == (None, 1)


def test_a_sweep_cuts_what_has_ended(bench: Bench) -> None:
    assert bench.engine.sweep() == 0
    bench.receive(1)
    bench.kernel.flows = [entry(1, ALICE), entry(2, ALICE, tcp(ALICE, to="10.9.9.9"))]
    assert bench.engine.sweep() == 1
    assert bench.engine.next_end() is not None


def test_a_view_attributes_a_flow_to_grant_and_application(bench: Bench) -> None:
    bench.receive(1)
    view = bench.notes.views[-1]
    assert view.attribute(entry(1, ALICE)) == (9, 3)
    assert view.attribute(entry(1, ALICE, tcp(ALICE, to="10.9.9.9"))) is None
    assert view.is_ours(entry(1, ALICE))
    assert view.devices[tcp(ALICE).source] == ALICE


def named_world() -> Facts:
    """Return the world with application 3 by name, in both families."""
    base = facts()
    by_name = application(
        3, "db.example.com@10.50.0.0/24 tcp 8080", "db.example.com@fd50::/64 tcp 8080"
    )
    return replace(base, applications=(by_name, base.applications[1]))


def elements(bench: Bench) -> list[str]:
    """Return the transactions that touched the maps of names."""
    return [
        str(t)
        for _, t in bench.kernel.done
        if "element inet peerage_wg0 name" in str(t)
    ]


def test_what_a_name_stands_for_changes_elements_and_no_generation(
    bench: Bench,
) -> None:
    bench.receive(1, named_world())
    assert set(bench.engine.bounds()) == {"db.example.com"}
    names = resolved("db.example.com 10.50.0.10", end=NOW + timedelta(minutes=1))
    before = len(bench.kernel.done)
    assert bench.engine.resolve(names) is None
    (done,) = bench.kernel.done[before:]
    assert "10.50.0.10 timeout 0d60s0ms : jump name_" in str(done)
    assert bench.engine.generation == 1
    assert bench.engine.resolve(names) is None
    assert len(bench.kernel.done) == before + 1


def test_names_stand_for_the_same_after_another_generation(bench: Bench) -> None:
    bench.receive(1, named_world())
    names = resolved("db.example.com 10.50.0.10", end=NOW + timedelta(minutes=1))
    bench.engine.resolve(names)
    count = len(elements(bench))
    bench.receive(2, without([BOB], named_world()))
    assert len(elements(bench)) == count
    bench.engine.resolve({})
    assert "delete element inet peerage_wg0 name4 { 10.50.0.10 }" in elements(bench)[-1]


def test_flows_to_what_a_name_no_longer_stands_for_are_cut(bench: Bench) -> None:
    bench.receive(1, named_world())
    bench.engine.resolve(resolved("db.example.com 10.50.0.10 10.50.0.11"))
    there = tcp(ALICE, to="10.50.0.11")
    bench.kernel.flows = [entry(1, ALICE), entry(2, ALICE, there), entry(3, BOB, there)]
    bench.engine.resolve(resolved("db.example.com 10.50.0.10"))
    assert [flow.id for flow in bench.kernel.flows] == [1]
    assert bench.notes.doomed == [there, there]


def test_what_a_name_loses_while_a_generation_is_compared_is_cut(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.receive(1, named_world())
    bench.engine.resolve(resolved("db.example.com 10.50.0.10 10.50.0.11"))
    there = tcp(ALICE, to="10.50.0.11")
    bench.kernel.flows = [entry(1, ALICE), entry(2, ALICE, there)]
    plan, left = reconcile.plan, [resolved("db.example.com 10.50.0.10")]

    def overtaken(*args: object, **named: object) -> object:
        planned = plan(*args, **named)  # type: ignore[arg-type]
        if left:
            bench.engine.resolve(left.pop())
        return planned

    monkeypatch.setattr(reconcile, "plan", overtaken)
    bench.receive(2, named_world())
    assert [flow.id for flow in bench.kernel.flows] == [1]


def test_a_flow_that_a_prefix_allows_survives_the_name(bench: Bench) -> None:
    world = named_world()
    both = application(5, "10.50.0.11/32 tcp 8080")
    bench.receive(1, replace(world, applications=(world.applications[0], both)))
    bench.engine.resolve(resolved("db.example.com 10.50.0.11"))
    there = tcp(ALICE, to="10.50.0.11")
    bench.kernel.flows = [entry(2, ALICE, there), entry(3, BOB, there)]
    bench.engine.resolve({})
    assert [flow.id for flow in bench.kernel.flows] == [2]


def test_answers_that_the_kernel_refuses_lead_to_applying_all_anew(
    bench: Bench,
) -> None:
    bench.receive(1, named_world())
    bench.kernel.refuses_transactions = True
    acknowledgement = bench.engine.resolve(resolved("db.example.com 10.50.0.10"))
    assert acknowledgement is not None
    assert acknowledgement["error"] == "no"
    assert bench.engine.generation == 0
    bench.kernel.refuses_transactions = False
    bench.poll()
    assert bench.engine.generation == 1
    assert "10.50.0.10" in elements(bench)[-1]


def test_before_a_snapshot_names_are_only_remembered(bench: Bench) -> None:
    assert bench.engine.bounds() == {}
    assert bench.engine.resolve(resolved("db.example.com 10.50.0.10")) is None
    assert bench.kernel.done == []
    bench.receive(1, named_world())
    assert "10.50.0.10" in elements(bench)[-1]


def test_evidence_is_attributed_by_what_names_stand_for_at_the_time(
    bench: Bench,
) -> None:
    bench.receive(1, named_world())
    attribute = bench.notes.views[-1].attribute
    assert attribute(entry(1, ALICE)) is None
    bench.engine.resolve(resolved("db.example.com 10.50.0.10"))
    assert attribute(entry(1, ALICE)) == (9, 3)
