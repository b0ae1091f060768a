"""Acknowledgements and evidence over HTTP: signed, strict, one event a refusal."""

from __future__ import annotations

import base64
import json

import pytest

from audit.models import AuditEvent, FlowEvent
from peers.models import Gateway, GatewayChannel
from policies import signing
from policies.compiler.envelope import EVIDENCE_ACK_TYPE
from policies.models import Acknowledgement, Grant, Snapshot
from tests.peers.makers import codes
from tests.policies.api.agents import SigningAgent
from tests.policies.makers import opened, publish, report

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(gw1: Gateway) -> SigningAgent:
    """The agent of gw1."""
    return SigningAgent(gw1)


@pytest.fixture
def snapshot(alices_grant: Grant) -> Snapshot:
    """The first generation of gw1."""
    assert alices_grant.pk
    return publish()[0]


def test_acknowledgement_is_recorded(agent: SigningAgent, snapshot: Snapshot) -> None:
    answer = agent.post("acks", report(snapshot))
    assert (answer.status_code, answer.content) == (204, b"")
    assert Acknowledgement.objects.get().in_force
    assert codes()[-1] == "GW004I"


def test_acknowledgement_of_nothing_issued_is_refused(
    agent: SigningAgent, snapshot: Snapshot
) -> None:
    before = codes()
    answer = agent.post("acks", report(snapshot, generation=9))
    assert answer.status_code == 422
    assert "was never issued" in answer.json()["detail"]
    assert codes() == [*before, "GW013W"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_malformed_acknowledgement_is_refused_with_one_event(
    agent: SigningAgent, body: bytes
) -> None:
    answer = agent.post_bytes("acks", body)
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    assert codes() == ["GW013W"]


def test_a_receipt_names_the_spool(agent: SigningAgent, snapshot: Snapshot) -> None:
    assert snapshot.pk
    batch = {"spool": "a" * 32, "records": [opened(1)]}
    answer = agent.post("evidence", batch).json()["ack"]
    assert json.loads(base64.b64decode(answer["payload"])) == {
        "gateway": agent.gateway.ref.id,
        "spool": "a" * 32,
        "accepted_through": 1,
    }


def test_evidence_is_signed_for(agent: SigningAgent, snapshot: Snapshot) -> None:
    assert snapshot.pk
    answer = agent.post("evidence", {"records": [opened(1), opened(2)]})
    assert answer.status_code == 200
    payload = signing.verified_payload(
        json.dumps(answer.json()["ack"]).encode(),
        payload_type=EVIDENCE_ACK_TYPE,
        public_key=signing.verification_key().public_key,
    )
    assert json.loads(payload) == {
        "gateway": agent.gateway.ref.id,
        "accepted_through": 2,
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"records":5}',
        b'{"records":[],"more":1}',
        b'{"records":[{}]}',
        b'{"records":[],"spool":5}',
        b'{"spool":""}',
    ],
)
def test_malformed_evidence_is_refused_with_one_event(
    agent: SigningAgent, body: bytes
) -> None:
    answer = agent.post_bytes("evidence", body)
    assert answer.status_code == 422
    assert codes() == ["GW013W"]
    assert not FlowEvent.objects.exists()


@pytest.mark.parametrize("channel", ["acks", "evidence"])
def test_replayed_request_is_refused_with_one_event(
    agent: SigningAgent, channel: str
) -> None:
    body = b'{"records":[]}'
    headers = agent.headers("POST", channel, body)
    first = agent.post_bytes(channel, body, **headers)
    before = codes()
    again = agent.post_bytes(channel, body, **headers)
    assert first.status_code in {200, 422}
    assert again.status_code == 409
    assert codes() == [*before, "GW013W"]


@pytest.mark.parametrize("channel", ["acks", "evidence"])
def test_tampered_body_is_refused_and_counts_for_nothing(
    agent: SigningAgent, channel: str
) -> None:
    headers = agent.headers("POST", channel, b'{"records":[]}')
    answer = agent.post_bytes(channel, b'{"records":[] }', **headers)
    assert answer.status_code == 401
    assert codes() == ["GW013W"]
    assert AuditEvent.objects.get().gateway_id == ""
    assert not GatewayChannel.objects.exists()


@pytest.mark.parametrize("path", ["acks", "evidence"])
def test_get_is_not_a_report(agent: SigningAgent, path: str) -> None:
    assert agent.get(path).status_code == 405


def test_without_a_key_evidence_waits_on_the_gateway(
    agent: SigningAgent, signing_key: object
) -> None:
    signing_key.unlink()  # type: ignore[attr-defined]
    assert agent.post("evidence", {"records": []}).status_code == 503
