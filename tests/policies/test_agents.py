"""Which agents the portal speaks of."""

from __future__ import annotations

import json

from gateway.answers import agent_versions
from gateway.config import VERSION
from policies import agents


def test_the_agent_that_belongs_to_the_portal_is_the_one_beside_it() -> None:
    assert agents.CURRENT == VERSION


def test_the_agent_reads_what_the_portal_tells() -> None:
    told = agent_versions(json.loads(agents.TOLD))
    assert told == (agents.CURRENT, agents.LEAST)
