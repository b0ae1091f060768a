"""The agent is killed while it applies a change, over and over (`script/faults`)."""

from __future__ import annotations

import pytest

from tests.faults.isolated import isolated
from tests.faults.kill_plants import PLANTS
from tests.faults.kills import Loop


def breaches(*, kills: int, seed: int, plant: str = "") -> list[str]:
    """Return what was found wrong; with a table, should anybody look."""
    tally = Loop(seed=seed, plant=plant).run(kills)
    print(*tally.lines(), sep="\n")
    return tally.faults


@isolated(seconds=120)
def test_fault_14_killed_while_applying_nothing_is_open_beyond_old_and_new() -> None:
    assert breaches(kills=100, seed=4) == []


@pytest.mark.long
@isolated(seconds=1200)
def test_fault_14_killed_a_thousand_times_nothing_is_open_beyond_old_and_new() -> None:
    assert breaches(kills=1000, seed=5) == []


@pytest.mark.parametrize("plant", PLANTS[1:])
@isolated(seconds=120)
def test_the_loop_finds_an_agent_that_loosens_first(plant: str) -> None:
    assert breaches(kills=500, seed=2, plant=plant)
