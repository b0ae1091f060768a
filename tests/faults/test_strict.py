"""Applications with terms of their own, and evidence that cannot be kept."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta

from gateway.agent import SystemClock
from policies.compiler.strictness import Evidence, Strictness
from policies.compiler.types import Facts
from tests.faults.field import OWN_HOST, field, policy
from tests.faults.isolated import isolated

BEST_EFFORT = Strictness(evidence=Evidence.BEST_EFFORT)
LIMIT = 60
OLD = 50
"""Seconds by which the portal's clock is behind, so that a test need not wait."""


class SlowClock(SystemClock):
    """A portal's clock that is nearly too far behind."""

    def now(self) -> datetime:
        """Return the time of day some time ago."""
        return super().now() - timedelta(seconds=OLD)


def with_terms(group: Strictness, alone: Strictness) -> Facts:
    """Return the policy with these terms of the group's application and alice's."""
    given = policy()
    three, five = given.applications
    return replace(
        given,
        applications=(
            replace(three, strictness=group),
            replace(five, strictness=alone),
        ),
    )


@isolated()
def test_silence_beyond_its_limit_cuts_one_application_and_no_other() -> None:
    with field(start=False) as made:
        made.portal.system = SlowClock()
        generation = made.publish(
            with_terms(Strictness(max_staleness=LIMIT), BEST_EFFORT)
        )
        made.start()
        made.applied(generation)
        quick, fresh = made.probe("alice"), made.probe("bob", fresh=True)
        other = made.probe("alice", OWN_HOST)
        for probe in (quick, fresh, other):
            probe.opens()
        made.partition()
        cut = time.monotonic()
        closed = quick.closes(LIMIT - OLD + 3)
        assert 3 < closed - cut < LIMIT - OLD + 2
        assert not fresh.is_open()
        assert other.is_open()
        assert other.longest_gap(cut, time.monotonic()) < 1
        made.heal()
        quick.opens()
        fresh.opens()
        assert {r["reason"] for r in made.records("deny")} <= {"withheld", "no_device"}
