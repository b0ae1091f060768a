"""Applications with terms of their own: opened with the gate, closed without mercy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from policies.compiler.delta import ElementChange
from policies.compiler.strictness import Evidence, Strictness
from policies.compiler.types import Facts
from tests.gateway.fakes import entry, tcp
from tests.gateway.test_engine import Bench
from tests.gateway.world import ALICE, facts

BEST_EFFORT = Strictness(evidence=Evidence.BEST_EFFORT)
QUICK = Strictness(max_staleness=120)


def with_terms(third: Strictness, fifth: Strictness) -> Facts:
    """Return the world with these terms of applications 3 and 5."""
    given = facts()
    three, five = given.applications
    return replace(
        given,
        applications=(
            replace(three, strictness=third),
            replace(five, strictness=fifth),
        ),
    )


QUICK_AND_LAX = with_terms(QUICK, BEST_EFFORT)
ORDINARY_AND_LAX = with_terms(Strictness(), BEST_EFFORT)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a bench with a flow to each application, both alice's."""
    made = Bench(tmp_path)
    made.kernel.flows = [
        entry(1, ALICE),
        entry(2, ALICE, tcp(ALICE, to="10.50.0.11", dport=5353)),
    ]
    made.kernel.flows[1] = replace(
        made.kernel.flows[1], tuple=replace(made.kernel.flows[1].tuple, protocol=17)
    )
    return made


def opened(bench: Bench) -> dict[str, float]:
    """Return for how long the last renewal opened each lease, in seconds."""
    changes = [done for what, done in bench.kernel.done if what == "elements"][-1]
    assert isinstance(changes, tuple)
    now = bench.clock.now()
    return {
        change.named.name: (change.added[0].expires_at - now).total_seconds()
        for change in changes
        if isinstance(change, ElementChange) and change.added
    }


def flows(bench: Bench) -> list[int]:
    return [flow.id for flow in bench.kernel.flows]


def silent(bench: Bench, seconds: float, *, is_healthy: bool = True) -> int:
    """Let a minute-long silence be many renewals, as the agent makes them."""
    cut = 0
    for _ in range(int(seconds)):
        bench.clock.advance(1)
        cut += bench.engine.keep_terms(is_healthy=is_healthy)
    return cut


def test_a_lease_is_opened_by_the_transaction_that_declares_it(bench: Bench) -> None:
    bench.engine.renew(is_healthy=True)
    bench.receive(1, QUICK_AND_LAX)
    (text,) = (str(done) for what, done in bench.kernel.done if what == "nft")
    assert text.endswith(
        'add element inet peerage_wg0 lease_strict_120 { "wg0" timeout 60000ms }\n'
    )


def test_leases_are_renewed_with_the_gate_and_never_beyond_their_terms(
    bench: Bench,
) -> None:
    bench.receive(1, QUICK_AND_LAX)
    assert bench.engine.renew(is_healthy=True)
    assert opened(bench) == {"lease_strict_120": 60}
    bench.clock.advance(100)
    assert bench.engine.renew(is_healthy=True)
    assert opened(bench) == {"lease_strict_120": 20}


def test_silence_beyond_the_limit_cuts_that_application_alone(bench: Bench) -> None:
    bench.receive(1, QUICK_AND_LAX)
    bench.engine.renew(is_healthy=True)
    assert silent(bench, 119) == 0
    assert not bench.engine.withheld
    assert silent(bench, 1) == 1
    assert list(bench.engine.withheld) == [3]
    assert flows(bench) == [2]
    # It is closed once; the other application's gate is kept open.
    assert silent(bench, 60) == 0
    assert bench.engine.renew(is_healthy=True)


def test_a_word_from_the_portal_opens_again(bench: Bench) -> None:
    bench.receive(1, QUICK_AND_LAX)
    silent(bench, 121)
    bench.poll()
    assert bench.engine.keep_terms(is_healthy=True) == 0
    assert opened(bench) == {"lease_strict_120": 60}


def test_a_limit_counts_by_ticks_when_the_clock_is_set_back(bench: Bench) -> None:
    bench.receive(1, QUICK_AND_LAX)
    bench.clock.elapsed += 121
    assert bench.engine.keep_terms(is_healthy=True) == 1


def test_evidence_that_fails_for_a_moment_closes_nothing(bench: Bench) -> None:
    bench.receive(1, ORDINARY_AND_LAX)
    bench.engine.renew(is_healthy=True)
    assert silent(bench, 4, is_healthy=False) == 0
    assert silent(bench, 4) == 0
    assert silent(bench, 4, is_healthy=False) == 0


def test_without_evidence_the_strict_are_cut_and_the_others_go_on(
    bench: Bench,
) -> None:
    bench.receive(1, ORDINARY_AND_LAX)
    assert bench.engine.renew(is_healthy=True)
    assert silent(bench, 7, is_healthy=False) == 1
    assert flows(bench) == [2]
    assert bench.engine.renew(is_healthy=False)


def test_without_evidence_a_gate_before_nothing_but_strict_applications_closes(
    bench: Bench,
) -> None:
    bench.receive(1)
    bench.engine.renew(is_healthy=True)
    silent(bench, 7, is_healthy=False)
    assert not bench.engine.renew(is_healthy=False)
    assert "timeout 1s" in bench.live()[-1]
    silent(bench, 1)
    assert "timeout 60s" in bench.live()[-1]


def test_nothing_is_opened_by_a_renewal_that_evidence_forbids(bench: Bench) -> None:
    bench.receive(1, with_terms(QUICK, QUICK))
    bench.engine.renew(is_healthy=True)
    before = len(bench.kernel.done)
    assert not bench.engine.renew(is_healthy=False)
    assert len(bench.kernel.done) == before


def test_a_kernel_that_refuses_is_asked_again(bench: Bench) -> None:
    bench.receive(1, QUICK_AND_LAX)
    bench.kernel.refuses_transactions = True
    assert silent(bench, 121) == 0
    bench.kernel.refuses_transactions = False
    assert silent(bench, 1) == 1


def test_a_policy_that_becomes_stricter_is_judged_at_once(bench: Bench) -> None:
    bench.receive(1, with_terms(BEST_EFFORT, BEST_EFFORT))
    silent(bench, 10, is_healthy=False)
    assert flows(bench) == [1, 2]
    bench.receive(2, ORDINARY_AND_LAX)
    assert silent(bench, 1, is_healthy=False) == 1
    assert flows(bench) == [2]


def test_a_start_long_after_the_last_word_cuts_what_it_finds(bench: Bench) -> None:
    bench.receive(1, QUICK_AND_LAX)
    bench.clock.advance(300)
    bench.restarted().open()
    assert silent(bench, 1) == 1
    assert flows(bench) == [2]
