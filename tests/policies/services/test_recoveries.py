"""A portal restored from a backup: nothing revoked comes back, and it can go on."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers import services as peers_services
from peers.errors import KeySeenError
from peers.models import Device, ForgottenKey, Gateway
from policies import services, signing
from policies.compiler.envelope import EPOCH_TYPE, NOTICE_TYPE, SNAPSHOT_TYPE
from policies.compiler.epoch import EpochStep, parse_epoch
from policies.compiler.notice import Notice, notice_bytes
from policies.compiler.snapshot import parse_snapshot
from policies.models import (
    Application,
    GatewayRecovery,
    Grant,
    Publication,
    RevocationNotice,
)
from policies.services import recoveries
from portal.accounts.models import User
from tests.peers.makers import Machine, codes
from tests.policies.api.agents import SigningAgent
from tests.policies.makers import NOW, content, make_grant, publish
from tests.policies.restoring import Remembered, in_one_thread, lost, newest

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(
    gw1: Gateway, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> SigningAgent:
    """The agent of gw1; it waits for nothing."""
    in_one_thread(monkeypatch)
    settings.PEERAGE_LONG_POLL_SECONDS = 0
    return SigningAgent(gw1)


@pytest.fixture
def laptop(alice: User, alices_grant: Grant) -> Device:
    """Alice's laptop, published at gw1."""
    device = Machine().enroll(alice)
    publish()
    return device


def revoke(device: Device) -> None:
    peers_services.revoke_device(device=device, reason="lost", actor=SYSTEM, now=NOW)
    publish()


@pytest.fixture
def ahead(gw1: Gateway, laptop: Device) -> Remembered:
    """What gw1 holds: the laptop was revoked, and the portal does not know it."""
    held = lost(gw1, lambda: revoke(laptop))
    laptop.refresh_from_db()
    assert laptop.is_active
    return held


def recover(without: Sequence[Gateway] = ()) -> None:
    services.begin_recovery(without=without, actor=SYSTEM, now=NOW)


def step_in(answer: dict[str, Any]) -> EpochStep:
    payload = signing.verified_payload(
        json.dumps(answer["epoch"]).encode(),
        payload_type=EPOCH_TYPE,
        public_key=signing.verification_key().public_key,
    )
    return parse_epoch(payload)


def peers_in(answer: dict[str, Any]) -> set[str]:
    payload = base64.b64decode(answer["snapshot"]["payload"])
    return {peer.public_key for peer in parse_snapshot(payload).peers}


def key_of(device: Device) -> str:
    return str(device.keys.get().public_key)


def test_a_gateway_that_is_ahead_is_noticed_once_with_an_alert(
    agent: SigningAgent, ahead: Remembered
) -> None:
    for _ in range(3):
        answer = agent.get(ahead.poll).json()
        assert answer.keys() == {"agent", "lease", "snapshot"}
        assert answer["snapshot"] is None
    assert codes().count("GW030A") == 1
    row = GatewayRecovery.objects.get()
    assert (row.epoch, row.generation, row.digest) == (
        ahead.epoch,
        ahead.generation,
        ahead.digest,
    )


@pytest.mark.parametrize("where", ["after=0&epoch={}", "after=0&epoch=1&holds={}.1."])
def test_an_epoch_that_no_history_leads_to_is_refused(
    agent: SigningAgent, where: str
) -> None:
    """The step above it could not be stored, and no other gateway would get its own."""
    digest = "" if where.endswith("{}") else "0" * 64
    answer = agent.get(f"snapshot?{where.format(2**31 - 1)}{digest}")
    assert answer.status_code == 422
    assert not GatewayRecovery.objects.exists()


def test_an_agent_that_names_no_digest_is_noticed_by_its_number(
    agent: SigningAgent, ahead: Remembered
) -> None:
    agent.get(f"snapshot?after={ahead.generation}&epoch=1")
    assert codes().count("GW030A") == 1


def test_a_gateway_that_holds_what_was_issued_is_never_ahead(
    agent: SigningAgent, laptop: Device
) -> None:
    held = newest(agent.gateway)
    path = f"snapshot?after={held.generation}&epoch=1"
    for holds in ("", f"&holds=1.{held.generation}.{held.digest}"):
        agent.get(path + holds)
    assert not GatewayRecovery.objects.exists()


def test_f08_another_snapshot_under_a_number_that_was_issued_is_noticed(
    agent: SigningAgent, ahead: Remembered, bob: User, wiki: Application
) -> None:
    # The restored portal goes on by itself and reaches the same number.
    make_grant(wiki, user=bob)
    Machine().enroll(bob)
    publish()
    assert newest(agent.gateway).generation == ahead.generation
    agent.get(ahead.poll)
    event = AuditEvent.objects.get(code="GW030")
    assert event.details["contradicts"] is True


def test_nothing_is_asked_and_no_step_is_given_before_an_operator_says_so(
    agent: SigningAgent, ahead: Remembered
) -> None:
    agent.get(ahead.poll)
    assert agent.post("revoked", ahead.shown).status_code == 422
    assert agent.get(ahead.poll).json().keys() == {"agent", "lease", "snapshot"}
    agent.gateway.refresh_from_db()
    assert agent.gateway.epoch == 1


def test_no_step_is_given_before_the_import(
    agent: SigningAgent, ahead: Remembered
) -> None:
    agent.get(ahead.poll)
    recover()
    for _ in range(2):
        answer = agent.get(ahead.poll).json()
        assert answer["ask"] == "revoked"
        assert "epoch" not in answer


def test_recovery_revokes_what_was_revoked_and_goes_on_above_what_is_held(
    agent: SigningAgent, ahead: Remembered, laptop: Device
) -> None:
    agent.get(ahead.poll)
    recover()
    assert agent.post("revoked", ahead.shown).status_code == 204
    laptop.refresh_from_db()
    assert not laptop.is_active
    assert "restored" in laptop.revoked_reason
    answer = agent.get(ahead.poll).json()
    step = step_in(answer)
    assert (step.before, step.after) == (1, 2)
    assert step.generation == ahead.generation + 1
    assert key_of(laptop) not in peers_in(answer)
    assert newest(agent.gateway).generation >= step.generation
    assert key_of(laptop) in content(agent.gateway).revoked_keys
    assert [code for code in codes() if code.startswith("GW03")] == [
        "GW030A",
        "GW031I",
        "GW032I",
        "GW033I",
    ]


def test_recovery_ends_when_the_step_was_taken(
    agent: SigningAgent, ahead: Remembered
) -> None:
    agent.get(ahead.poll)
    recover()
    agent.post("revoked", ahead.shown)
    after = ahead.poll.replace("epoch=1", "epoch=2")
    answer = agent.get(after).json()
    assert "epoch" not in answer
    assert answer["snapshot"] is not None
    assert GatewayRecovery.objects.get().ended_at is not None
    assert codes()[-1] == "GW034I"


def test_who_took_its_step_before_the_snapshot_is_compiled_waits_for_it(
    agent: SigningAgent, ahead: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.get(ahead.poll)
    recover()
    with monkeypatch.context() as dying:
        dying.setattr(recoveries, "publish_snapshots", lambda **_: [])
        agent.post("revoked", ahead.shown)
    row = GatewayRecovery.objects.get()
    alerts = AuditEvent.objects.filter(code="GW030").count()
    agent.get(ahead.poll.replace("epoch=1", f"epoch={row.step_epoch}"))
    assert GatewayRecovery.objects.get().ended_at is None
    assert AuditEvent.objects.filter(code="GW030").count() == alerts == 1
    assert Publication.objects.get().stale_since is not None


def test_a_step_is_given_again_until_it_is_taken(
    agent: SigningAgent, ahead: Remembered
) -> None:
    agent.get(ahead.poll)
    recover()
    agent.post("revoked", ahead.shown)
    steps = [agent.get(ahead.poll).json()["epoch"] for _ in range(2)]
    assert steps[0] == steps[1]


def test_nobody_gets_a_step_before_all_have_shown_what_they_hold(
    agent: SigningAgent, ahead: Remembered, laptop: Device, wiki: Application
) -> None:
    other = Gateway.objects.create(
        name="gw2",
        endpoint_host="gw2.example",
        state="enrolled",
        public_key=Machine().public_key,
        created_at=NOW,
    )
    second = SigningAgent(other)
    publish()
    held = lost(other, lambda: revoke(laptop))
    for which, what in ((agent, ahead), (second, held)):
        which.get(what.poll)
    recover()
    agent.post("revoked", ahead.shown)
    assert "epoch" not in agent.get(ahead.poll).json()
    second.post("revoked", held.shown)
    assert step_in(agent.get(ahead.poll).json()).after == 2
    assert step_in(second.get(held.poll).json()).after == 2


def test_who_is_left_out_is_waited_for_by_nobody_and_gets_nothing(
    agent: SigningAgent, ahead: Remembered, laptop: Device
) -> None:
    other = Gateway.objects.create(
        name="gw2",
        endpoint_host="gw2.example",
        state="enrolled",
        public_key=Machine().public_key,
        created_at=NOW,
    )
    second = SigningAgent(other)
    publish()
    held = lost(other, lambda: revoke(laptop))
    for which, what in ((agent, ahead), (second, held)):
        which.get(what.poll)
    recover(without=[other])
    agent.post("revoked", ahead.shown)
    assert "epoch" in agent.get(ahead.poll).json()
    assert second.get(held.poll).json().keys() == {"agent", "lease", "snapshot"}
    assert second.post("revoked", held.shown).status_code == 422


def test_who_is_left_out_and_goes_back_and_forth_holds_up_nobody(
    agent: SigningAgent, ahead: Remembered
) -> None:
    other = Gateway.objects.create(
        name="gw2",
        endpoint_host="gw2.example",
        state="enrolled",
        public_key=Machine().public_key,
        created_at=NOW,
    )
    second = SigningAgent(other)
    publish()
    for which, poll in ((agent, ahead.poll), (second, ahead.poll)):
        which.get(poll)
    recover(without=[other])
    second.get("snapshot?after=1&epoch=1")
    second.get(ahead.poll)
    assert GatewayRecovery.objects.filter(gateway=other).count() == 2
    agent.post("revoked", ahead.shown)
    assert "epoch" in agent.get(ahead.poll).json()


def test_who_comes_late_to_a_recovery_is_asked_as_well(
    agent: SigningAgent, ahead: Remembered
) -> None:
    GatewayRecovery.objects.create(
        gateway=Gateway.objects.create(
            name="gw2", endpoint_host="g", state="enrolled", created_at=NOW
        ),
        epoch=1,
        generation=9,
        noticed_at=NOW,
    )
    recover()
    assert agent.get(ahead.poll).json()["ask"] == "revoked"


def test_all_that_is_revoked_again_is_one_notice(
    agent: SigningAgent, gw1: Gateway, laptop: Device, alice: User
) -> None:
    """A number that is held while other devices are waited for could meet a click."""
    phone = Machine().enroll(alice, name="phone")
    publish()

    def both() -> None:
        revoke(laptop)
        revoke(phone)

    held = lost(gw1, both)
    agent.get(held.poll)
    recover()
    agent.post("revoked", held.shown)
    notice = RevocationNotice.objects.get()
    assert notice.devices == [laptop.pk, phone.pk]
    assert GatewayRecovery.objects.get().devices.count() == 2


def test_what_this_portal_did_not_sign_revokes_nobody(
    agent: SigningAgent, ahead: Remembered, laptop: Device, settings: Settings
) -> None:
    agent.get(ahead.poll)
    recover()
    forged = {**ahead.shown, "snapshot": {**ahead.envelope}}
    payload = base64.b64decode(ahead.envelope["payload"]).replace(b"gw_", b"gw_", 1)
    forged["snapshot"]["payload"] = base64.b64encode(payload + b" ").decode()
    answer = agent.post("revoked", forged)
    assert answer.status_code == 422
    laptop.refresh_from_db()
    assert laptop.is_active
    assert codes()[-1] == "GW013W"


def test_what_was_signed_for_another_gateway_is_refused(
    agent: SigningAgent, ahead: Remembered, laptop: Device
) -> None:
    agent.get(ahead.poll)
    recover()
    payload = base64.b64decode(ahead.envelope["payload"])
    other = payload.replace(agent.gateway.ref.id.encode(), b"gw_999999")
    envelope = json.loads(signing.sign(SNAPSHOT_TYPE, other))
    answer = agent.post("revoked", {**ahead.shown, "snapshot": envelope})
    assert answer.status_code == 422
    laptop.refresh_from_db()
    assert laptop.is_active


def test_what_is_known_here_is_no_proof_that_anything_was_lost(
    agent: SigningAgent, laptop: Device
) -> None:
    # A gateway that only claims to be ahead.
    agent.get("snapshot?after=99&epoch=1")
    recover()
    envelope = json.loads(newest(agent.gateway).envelope)
    answer = agent.post("revoked", {"snapshot": envelope, "notices": [], "floor": 100})
    assert answer.status_code == 422
    assert "epoch" not in agent.get("snapshot?after=99&epoch=1").json()


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"snapshot": {}, "notices": [], "floor": 1},
        {"snapshot": None, "notices": [], "floor": 1},
    ],
)
def test_malformed_proofs_are_refused_with_one_event(
    agent: SigningAgent, document: object
) -> None:
    assert agent.post("revoked", document).status_code == 422
    assert codes() == ["GW013W"]


def test_keys_that_the_portal_forgot_are_never_enrolled_again(
    agent: SigningAgent, laptop: Device, bob: User, wiki: Application
) -> None:
    machine = Machine()

    def enrolled_after_the_backup() -> None:
        make_grant(wiki, user=bob)
        machine.enroll(bob)
        publish()

    held = lost(agent.gateway, enrolled_after_the_backup)
    agent.get(held.poll)
    recover()
    agent.post("revoked", held.shown)
    assert ForgottenKey.objects.get().public_key == machine.public_key
    with pytest.raises(KeySeenError):
        machine.enroll(bob)
    assert machine.public_key in content(agent.gateway).revoked_keys


def test_a_portal_restored_twice_goes_up_once_more(
    agent: SigningAgent, ahead: Remembered, laptop: Device
) -> None:
    def recovered_once() -> None:
        agent.get(ahead.poll)
        recover()
        agent.post("revoked", ahead.shown)

    held = lost(agent.gateway, recovered_once)
    assert held.epoch == 2
    agent.get(held.poll)
    recover()
    agent.post("revoked", held.shown)
    step = step_in(agent.get(held.poll).json())
    assert (step.before, step.after) == (2, 3)
    assert step.generation > held.generation


def test_a_floor_above_what_is_held_is_respected(
    agent: SigningAgent, ahead: Remembered
) -> None:
    agent.get(ahead.poll)
    recover()
    agent.post("revoked", {**ahead.shown, "floor": 500})
    assert step_in(agent.get(ahead.poll).json()).generation == 500
    assert newest(agent.gateway).generation == 500


def test_steps_are_given_by_the_next_poll_when_their_giver_died(
    agent: SigningAgent, ahead: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.get(ahead.poll)
    recover()
    with monkeypatch.context() as dying:
        dying.setattr("policies.services.recoveries.give_steps", lambda **_: [])
        agent.post("revoked", ahead.shown)
    assert "epoch" in agent.get(ahead.poll).json()


def test_retired_gateways_hold_nobody_up(
    agent: SigningAgent, ahead: Remembered
) -> None:
    GatewayRecovery.objects.create(
        gateway=Gateway.objects.create(
            name="gw2", endpoint_host="g", state="retired", created_at=NOW
        ),
        epoch=1,
        generation=9,
        noticed_at=NOW,
    )
    agent.get(ahead.poll)
    recover()
    agent.post("revoked", ahead.shown)
    assert "epoch" in agent.get(ahead.poll).json()


def test_a_notice_that_no_snapshot_covers_yet_revokes_as_well(
    agent: SigningAgent, ahead: Remembered, bob: User, wiki: Application
) -> None:
    make_grant(wiki, user=bob)
    phone = Machine().enroll(bob)
    notice = Notice(
        deployment="peerage",
        audience=agent.gateway.ref.id,
        epoch=1,
        number=7,
        issued=NOW,
        devices=frozenset({phone.pk}),
        keys=frozenset({key_of(phone)}),
    )
    signed = json.loads(signing.sign(NOTICE_TYPE, notice_bytes(notice)))
    agent.get(ahead.poll)
    recover()
    others = replace(notice, audience="gw_999")
    forged = json.loads(signing.sign(NOTICE_TYPE, notice_bytes(others)))
    assert (
        agent.post("revoked", {**ahead.shown, "notices": [forged]}).status_code == 422
    )
    phone.refresh_from_db()
    assert phone.is_active
    assert (
        agent.post("revoked", {**ahead.shown, "notices": [signed]}).status_code == 204
    )
    phone.refresh_from_db()
    assert not phone.is_active
