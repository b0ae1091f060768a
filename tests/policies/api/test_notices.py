"""Notices of revocation: at once, signed, each once; and what is reported of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from audit.actor import SYSTEM
from gateway.trust import Anchor, Judge
from peers import services as peers_services
from peers.models import Gateway
from policies import notices, notifier, signing
from policies.compiler.notice import Notice
from policies.models import (
    AgentState,
    Application,
    Grant,
    Publication,
    Revocation,
    RevocationNotice,
    RevocationTarget,
    Snapshot,
)
from portal import revocation
from portal.accounts.models import User
from tests.peers.makers import Machine, codes, make_gateway
from tests.policies.api.agents import SigningAgent
from tests.policies.asynchronous import asynchronous
from tests.policies.makers import NOW, notice_report, publish

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def agent(gw1: Gateway, settings: Settings) -> SigningAgent:
    """The agent of gw1; a poll waits for two seconds."""
    settings.PEERAGE_LONG_POLL_SECONDS = 2
    return SigningAgent(gw1)


@pytest.fixture
def revoke(alice: User, alices_grant: Grant) -> Callable[[], Revocation]:
    """Revoke alice, who has a device."""
    assert alices_grant.pk
    Machine().enroll(alice)

    def act() -> Revocation:
        return revocation.revoke_user(
            user=alice, reason="left", actor=SYSTEM, requested_at=NOW, now=NOW
        )

    return act


def judged(agent: SigningAgent, envelope: object) -> Notice:
    """Return what the gateway's own judge makes of an envelope."""
    key = signing.verification_key()
    judge = Judge(
        anchor=Anchor(
            gateway=agent.gateway.ref.id,
            deployment="peerage",
            epoch=1,
            keys={key.keyid: key.public_key},
        )
    )
    return judge.kept_notice(json.dumps(envelope).encode())


def numbers(agent: SigningAgent, after: int = 0) -> list[int]:
    answer = agent.get(f"notices?after={after}&epoch=1").json()
    return [judged(agent, envelope).number for envelope in answer["notices"]]


def test_a_notice_comes_at_once_and_the_gateway_accepts_it(
    agent: SigningAgent, revoke: Callable[[], Revocation], alice: User
) -> None:
    revoke()
    answer = agent.get("notices?after=0&epoch=1").json()
    [envelope] = answer["notices"]
    notice = judged(agent, envelope)
    device = alice.devices.get()
    assert notice.devices == {device.pk}
    assert notice.keys == {device.keys.get().public_key}


def test_a_notice_that_was_heard_of_does_not_come_again(
    agent: SigningAgent, revoke: Callable[[], Revocation], settings: Settings
) -> None:
    settings.PEERAGE_LONG_POLL_SECONDS = 0
    revoke()
    revoke()
    assert numbers(agent) == [1, 2]
    assert numbers(agent, after=1) == [2]
    assert numbers(agent, after=2) == []


def test_who_asks_from_far_behind_takes_no_news_from_others(
    gw1: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "AT_ONCE", 2)
    gw2 = make_gateway("gw2")
    for number in range(1, 10):
        RevocationNotice.objects.create(
            number=number, issued_at=NOW, devices=[number], keys=[f"k{number}"]
        )
    behind, heard = notices.news_for([(gw1, 0), (gw2, 8)], now=NOW)
    assert [notice.number for notice in behind] == [1, 2]
    assert [notice.number for notice in heard] == [9]


def test_a_notice_that_a_snapshot_covers_comes_no_more_after_a_while(
    agent: SigningAgent, revoke: Callable[[], Revocation], settings: Settings
) -> None:
    settings.PEERAGE_LONG_POLL_SECONDS = 0
    revoke()
    RevocationNotice.objects.update(issued_at=NOW - timedelta(days=1))
    assert numbers(agent) == [1]
    publish()
    assert numbers(agent) == []
    Publication.objects.update(notices=0)
    assert numbers(agent) == [1]


def test_revoking_one_device_is_a_notice_too(
    agent: SigningAgent, alice: User, wiki: Application, settings: Settings
) -> None:
    assert wiki.pk
    settings.PEERAGE_LONG_POLL_SECONDS = 0
    machine = Machine()
    device = machine.enroll(alice)
    peers_services.revoke_device(device=device, reason="lost", actor=SYSTEM, now=NOW)
    [notice] = RevocationNotice.objects.all()
    assert notice.devices == [device.pk]
    assert numbers(agent) == [1]


def test_without_a_signing_key_the_gateway_is_told_to_come_again(
    agent: SigningAgent, revoke: Callable[[], Revocation], signing_key: Path
) -> None:
    revoke()
    signing_key.unlink()
    assert agent.get("notices?after=0&epoch=1").status_code == 503


@pytest.mark.parametrize(
    "query", ["", "?after=1", "?after=-1&epoch=1", "?after=x&epoch=1"]
)
def test_malformed_poll_is_refused_with_one_event(
    agent: SigningAgent, query: str
) -> None:
    assert agent.get(f"notices{query}").status_code == 422
    assert codes() == ["GW013W"]


def test_unsigned_poll_is_refused_with_one_event(agent: SigningAgent) -> None:
    assert agent.get("notices?after=0&epoch=1", Signature="").status_code == 401
    assert codes() == ["GW013W"]


async def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("nobody waits")


@asynchronous
async def test_waiting_poll_is_woken_by_a_revocation(
    agent: SigningAgent, revoke: Callable[[], Revocation]
) -> None:
    waiting = asyncio.create_task(agent.poll("notices?after=0&epoch=1"))
    await wait_until(lambda: len(notifier.notice_hub) == 1)
    snapshots = await sync_to_async(Snapshot.objects.count)()
    begun = time.monotonic()
    await sync_to_async(revoke)()
    answer = (await waiting).json()
    assert time.monotonic() - begun < 1.5
    assert judged(agent, answer["notices"][0]).number == 1
    assert await sync_to_async(Snapshot.objects.count)() == snapshots


@asynchronous
async def test_lost_message_costs_a_second(
    agent: SigningAgent,
    revoke: Callable[[], Revocation],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> None:
    settings.PEERAGE_LONG_POLL_SECONDS = 10
    monkeypatch.setattr(notifier, "notify_notices", lambda: None)
    waiting = asyncio.create_task(agent.poll("notices?after=0&epoch=1"))
    await wait_until(lambda: len(notifier.notice_hub) == 1)
    begun = time.monotonic()
    await sync_to_async(revoke)()
    assert (await waiting).json()["notices"]
    assert time.monotonic() - begun < 3


@asynchronous
async def test_client_that_goes_away_leaves_nothing_behind(agent: SigningAgent) -> None:
    waiting = asyncio.create_task(agent.poll("notices?after=0&epoch=1"))
    await wait_until(lambda: len(notifier.notice_hub) == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(notifier.notice_hub) == 0


def test_when_it_was_told_is_noted_once(
    agent: SigningAgent, revoke: Callable[[], Revocation]
) -> None:
    revoke()
    numbers(agent)
    [target] = RevocationTarget.objects.all()
    assert target.notified_at is not None
    numbers(agent)
    assert RevocationTarget.objects.get().notified_at == target.notified_at


def test_a_report_closes_the_revocation_and_lets_the_snapshot_follow(
    agent: SigningAgent, revoke: Callable[[], Revocation]
) -> None:
    before = Snapshot.objects.count()
    done = revoke()
    numbers(agent)
    assert Snapshot.objects.count() == before
    answer = agent.post("notices", notice_report(1, flows_cut=3))
    assert answer.status_code == 204
    target = done.targets.get()
    assert target.reported_at is not None
    assert target.flows_cut == 3
    assert Snapshot.objects.count() == before + 1
    assert Publication.objects.get().notices == 1
    assert AgentState.objects.get().notice == 1


def test_a_report_sent_twice_is_recorded_once(
    agent: SigningAgent, revoke: Callable[[], Revocation]
) -> None:
    revoke()
    for _ in range(2):
        assert agent.post("notices", notice_report(1)).status_code == 204
    assert codes().count("GW004I") == codes().count("RV002I") == 1


def test_what_could_not_be_enforced_is_told_and_closes_nothing(
    agent: SigningAgent, revoke: Callable[[], Revocation]
) -> None:
    done = revoke()
    failed = notice_report(1, applied_at=None, error="no")
    assert agent.post("notices", failed).status_code == 204
    assert done.targets.get().enforced_at is None
    assert codes().count("GW005E") == 1


def test_a_report_of_an_epoch_that_is_over_closes_nothing(
    agent: SigningAgent, revoke: Callable[[], Revocation]
) -> None:
    revoke()
    Gateway.objects.update(epoch=2)
    assert agent.post("notices", notice_report(1)).status_code == 204
    assert not AgentState.objects.filter(notice=1).exists()
    assert agent.post("notices", notice_report(1, epoch=3)).status_code == 422
    assert agent.post("notices", notice_report(1, epoch=2)).status_code == 204
    assert AgentState.objects.get().notice == 1


def test_a_notice_never_issued_is_refused_with_one_event(agent: SigningAgent) -> None:
    assert agent.post("notices", notice_report(1)).status_code == 422
    assert codes() == ["GW013W"]


@pytest.mark.parametrize(
    "changed",
    [{"number": 0}, {"flows_cut": -1}, {"timings": {}}, {"extra": 1}],
    ids=["number", "flows", "timings", "extra"],
)
def test_malformed_report_is_refused_with_one_event(
    agent: SigningAgent, changed: dict[str, object]
) -> None:
    assert agent.post("notices", notice_report(1, **changed)).status_code == 422
    assert codes() == ["GW013W"]


def test_the_snapshot_waits_for_the_gateway_that_lives(
    agent: SigningAgent, revoke: Callable[[], Revocation], settings: Settings
) -> None:
    settings.PEERAGE_LONG_POLL_SECONDS = 0
    other = SigningAgent(
        Gateway.objects.create(
            name="gw2", endpoint_host="b.test", state="enrolled", created_at=NOW
        )
    )
    numbers(other)
    before = Snapshot.objects.count()
    revoke()
    agent.post("notices", notice_report(1))
    assert Snapshot.objects.count() == before
    other.post("notices", notice_report(1))
    assert Snapshot.objects.count() > before
