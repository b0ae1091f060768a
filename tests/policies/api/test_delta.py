"""A poll that offers to take a delta gets one where the portal knows what is held."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import pytest
from pytest_django import Settings

from gateway.deltas import whole_envelope
from peers.models import Gateway
from policies import deltas
from policies.api import polls
from portal.accounts.models import User
from tests.policies.api.agents import SigningAgent
from tests.policies.makers import make_application, make_grant, publish
from tests.policies.restoring import Remembered, in_one_thread, newest, remembered

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(
    gw1: Gateway, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> SigningAgent:
    """The agent of gw1; every delta is worth sending."""
    in_one_thread(monkeypatch)
    settings.PEERAGE_LONG_POLL_SECONDS = 0
    for module in (deltas, polls):
        monkeypatch.setattr(module, "LEAST_WHOLE", 0)
    monkeypatch.setattr(deltas, "LEAST_GAIN", 0)
    return SigningAgent(gw1)


@pytest.fixture
def held(agent: SigningAgent, alice: User, pools: None) -> Remembered:
    """What gw1 holds; since then an application was added and granted."""
    publish()
    found = remembered(agent.gateway)
    mail = make_application("mail", "10.9.0.0/24", gateways=[agent.gateway])
    make_grant(mail, user=alice)
    publish()
    return found


def answer(agent: SigningAgent, path: str) -> dict[str, Any]:
    found: dict[str, Any] = agent.get(path).json()
    return found


def test_what_is_rebuilt_is_what_was_signed(
    agent: SigningAgent, held: Remembered
) -> None:
    told = answer(agent, f"{held.poll}&delta=1")
    assert told["snapshot"] is None
    rebuilt = whole_envelope(
        json.dumps(held.envelope).encode(), json.dumps(told["delta"]).encode()
    )
    assert json.loads(rebuilt) == json.loads(newest(agent.gateway).envelope)


@pytest.mark.parametrize(
    "query",
    ["", "&delta=0", "&delta=", "&delta=yes"],
    ids=["not offered", "no", "empty", "nonsense"],
)
def test_whoever_does_not_offer_gets_the_whole(
    agent: SigningAgent, held: Remembered, query: str
) -> None:
    told = answer(agent, held.poll + query)
    assert told["snapshot"] == json.loads(newest(agent.gateway).envelope)
    assert "delta" not in told


def test_whoever_holds_nothing_gets_the_whole(
    agent: SigningAgent, held: Remembered
) -> None:
    told = answer(agent, "snapshot?after=0&epoch=1&delta=1")
    assert told["snapshot"] is not None


def test_nothing_new_is_no_delta(agent: SigningAgent, held: Remembered) -> None:
    told = answer(agent, f"{remembered(agent.gateway).poll}&delta=1")
    assert told["snapshot"] is None
    assert "delta" not in told


def test_whoever_comes_while_others_are_worked_out_gets_the_whole(
    agent: SigningAgent, held: Remembered
) -> None:
    with ExitStack() as others:
        while polls._DELTAS.acquire(blocking=False):  # noqa: SLF001 -- all that may be
            others.callback(polls._DELTAS.release)  # noqa: SLF001 -- the same
        assert answer(agent, f"{held.poll}&delta=1")["snapshot"] is not None
    later = f"{held.poll}&delta=1"
    assert answer(agent, later)["snapshot"] is None
