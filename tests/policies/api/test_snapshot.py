"""The long poll: at once when there is something, woken when there will be."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from audit.models import AuditEvent
from peers.models import Gateway
from policies import notifier, signing
from policies.compiler.envelope import LEASE_TYPE, SNAPSHOT_TYPE
from policies.compiler.snapshot import digest, parse_lease, parse_snapshot
from policies.models import Application, Publication, Snapshot
from portal.accounts.models import User
from tests.peers.makers import NOW, Machine, codes
from tests.policies.api.agents import SigningAgent
from tests.policies.asynchronous import asynchronous
from tests.policies.makers import make_grant, publish

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def agent(gw1: Gateway, settings: Settings) -> SigningAgent:
    """The agent of gw1; a poll waits for two seconds."""
    settings.PEERAGE_LONG_POLL_SECONDS = 2
    return SigningAgent(gw1)


def payload(envelope: object, payload_type: str) -> bytes:
    return signing.verified_payload(
        json.dumps(envelope).encode(),
        payload_type=payload_type,
        public_key=signing.verification_key().public_key,
    )


def test_newer_snapshot_comes_at_once_with_its_lease(agent: SigningAgent) -> None:
    [stored] = publish()
    answer = agent.get("snapshot?after=0&epoch=1").json()
    body = payload(answer["snapshot"], SNAPSHOT_TYPE)
    lease = parse_lease(payload(answer["lease"], LEASE_TYPE))
    assert parse_snapshot(body).generation == lease.generation == 1
    assert lease.digest == digest(body) == stored.digest
    assert (lease.not_after - lease.issued).total_seconds() == 900
    assert lease.audience == agent.gateway.ref.id


def test_first_poll_publishes(agent: SigningAgent) -> None:
    answer = agent.get("snapshot?after=0&epoch=1").json()
    assert answer["snapshot"] is not None
    assert Snapshot.objects.count() == 1


def test_nothing_new_brings_a_fresh_lease_after_the_wait(
    agent: SigningAgent, settings: Settings
) -> None:
    settings.PEERAGE_LONG_POLL_SECONDS = 0
    publish()
    answers = [agent.get("snapshot?after=1&epoch=1").json() for _ in range(2)]
    assert [answer["snapshot"] for answer in answers] == [None, None]
    leases = [parse_lease(payload(answer["lease"], LEASE_TYPE)) for answer in answers]
    assert leases[0].issued < leases[1].issued


def test_other_epoch_is_answered_at_once(agent: SigningAgent) -> None:
    publish()
    Gateway.objects.update(epoch=2)
    publish()
    started = time.monotonic()
    answer = agent.get("snapshot?after=7&epoch=1").json()
    assert time.monotonic() - started < 1.5
    assert parse_snapshot(payload(answer["snapshot"], SNAPSHOT_TYPE)).epoch == 2


def test_policy_that_never_compiled_is_service_unavailable(
    agent: SigningAgent, alice: User, wiki: Application
) -> None:
    make_grant(wiki, user=alice)
    Machine().enroll(alice).leases.filter(address__contains=".").update(
        address="192.0.2.1"
    )
    Publication.objects.all().delete()
    Snapshot.objects.all().delete()
    answer = agent.get("snapshot?after=0&epoch=1")
    assert answer.status_code == 503
    assert codes()[-1] == "PL008E"


BAD_QUERIES = [
    "snapshot",
    "snapshot?after=0",
    "snapshot?after=-1&epoch=1",
    "snapshot?after=x&epoch=1",
    "snapshot?after=0&epoch=",
    "snapshot?after=99999999999999999999&epoch=1",
]


@pytest.mark.parametrize("path", BAD_QUERIES)
def test_malformed_poll_is_refused_with_one_event(
    agent: SigningAgent, path: str
) -> None:
    assert agent.get(path).status_code == 422
    assert codes() == ["GW013W"]


def test_unsigned_poll_is_refused_with_one_event(agent: SigningAgent) -> None:
    assert agent.get("snapshot?after=0&epoch=1", Signature="").status_code == 401
    assert codes() == ["GW013W"]
    assert not Snapshot.objects.exists()


def test_poll_of_another_query_than_was_signed_is_refused(agent: SigningAgent) -> None:
    headers = agent.headers("GET", "snapshot?after=0&epoch=1")
    answer = agent.get("snapshot?after=5&epoch=1", **headers)
    assert answer.status_code == 401
    assert codes() == ["GW013W"]


async def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("nobody waits")


async def poll_and(agent: SigningAgent, change: Callable[[], Any]) -> tuple[Any, float]:
    """Poll for generation 2, change something meanwhile; return answer and delay."""
    waiting = asyncio.create_task(agent.poll("snapshot?after=1&epoch=1"))
    await wait_until(lambda: len(notifier.hub) == 1)
    changed = time.monotonic()
    await sync_to_async(change)()
    answer = await waiting
    return answer.json(), time.monotonic() - changed


def next_generation() -> None:
    Gateway.objects.update(endpoint_port=51821)
    publish()


@asynchronous
async def test_waiting_poll_is_woken_by_a_publication(agent: SigningAgent) -> None:
    await sync_to_async(publish)()
    answer, delay = await poll_and(agent, next_generation)
    assert answer["snapshot"] is not None
    assert delay < 0.6


@asynchronous
async def test_f04_poll_that_waits_is_told_nothing_after_quarantine(
    agent: SigningAgent,
) -> None:
    await sync_to_async(publish)()

    def quarantine_and_publish() -> None:
        Gateway.objects.update(quarantined_at=NOW, endpoint_port=51821)
        publish()

    answer, _ = await poll_and(agent, quarantine_and_publish)
    assert answer["status"] == 403
    assert "quarantine" in answer["detail"]


def test_f04_gateway_in_quarantine_gets_no_snapshot_and_no_lease(
    agent: SigningAgent,
) -> None:
    publish()
    assert agent.get("snapshot?after=0&epoch=1").json()["snapshot"]
    agent.sequence, agent.ahead = 0, 30
    assert agent.get("snapshot?after=0&epoch=1").status_code == 403
    for path in ("snapshot?after=0&epoch=1", "acks", "evidence", "names"):
        answer = agent.get(path) if "?" in path else agent.post(path, {})
        assert (answer.status_code, "lease" in answer.json()) == (403, False)


@asynchronous
async def test_lost_message_costs_a_second(
    agent: SigningAgent, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.PEERAGE_LONG_POLL_SECONDS = 10
    await sync_to_async(publish)()
    monkeypatch.setattr(notifier, "notify", lambda _ids: None)
    answer, delay = await poll_and(agent, next_generation)
    assert answer["snapshot"] is not None
    assert delay < 2


@asynchronous
async def test_client_that_goes_away_leaves_nothing_behind(agent: SigningAgent) -> None:
    await sync_to_async(publish)()
    waiting = asyncio.create_task(agent.poll("snapshot?after=1&epoch=1"))
    await wait_until(lambda: len(notifier.hub) == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(notifier.hub) == 0


def test_poll_is_no_event(agent: SigningAgent) -> None:
    publish()
    before = codes()
    agent.get("snapshot?after=0&epoch=1")
    assert codes() == before
    assert AuditEvent.objects.filter(actor_kind="gateway").count() == 0
