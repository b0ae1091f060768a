"""A snapshot that kills the agent, whenever it reads or applies it (row 60)."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.faults.field import Field, field
from tests.faults.isolated import isolated
from tests.faults.test_faults import without_alice
from tests.gateway.netns.lab import until


def dies(made: Field) -> bool:
    """Return whether the agent kills itself soon."""
    try:
        return made.agent.wait(8) == -signal.SIGKILL
    except subprocess.TimeoutExpired:
        return False


@pytest.mark.parametrize(
    "point",
    [
        "persist:before",
        pytest.param("nftables:before", marks=pytest.mark.long),
    ],
)
@isolated(seconds=120)
def test_fault_60_what_kills_the_agent_is_tried_three_times(point: str) -> None:
    with field(is_killable=True) as made:
        alice = made.probe("alice")
        alice.opens()
        made.kill_at(point)
        made.publish(without_alice())
        deaths = 0
        while dies(made):
            deaths += 1
            made.start()
        # Three as it came, and three as it was found on disk, if it got there.
        assert 3 <= deaths <= 6
        until(lambda: any("3 times" in e for e in made.errors()), "the alarm", 20)
        assert alice.is_open()
        made.spare()
        made.publish(without_alice())
        made.applied(3, 40)
        alice.closes(2)
