"""The one endpoint of the gateway API that strangers may call."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from audit.actor import SYSTEM
from audit.models import AuditEvent, RefusalCount
from peers import services
from peers.api.gateway_views import MAXIMUM_BYTES, TRIES_PER_MINUTE
from peers.models import Gateway, GatewayEnrolmentToken, GatewayState
from policies.errors import SigningKeyError
from policies.signing import verification_key
from tests.peers.makers import NOW, Agent, codes, make_gateway

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

pytestmark = pytest.mark.usefixtures("db", "signing_key")


@pytest.fixture(autouse=True)
def fresh_minute(db: None) -> None:
    """Nobody has tried yet."""
    cache.clear()


@pytest.fixture
def token() -> str:
    """Return a fresh token of a gateway."""
    gateway = make_gateway("edge")
    # What the portal judges by is the real clock.
    token = services.issue_enrolment_token(gateway=gateway, actor=SYSTEM, now=NOW)
    GatewayEnrolmentToken.objects.update(expires_at="2999-01-01T00:00Z")
    return token


def enroll(body: object, *, client: Client | None = None) -> Answer:
    """Post an enrolment."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (client or Client(enforce_csrf_checks=True)).post(
        "/api/gateway/v1/enroll", raw, content_type="application/json"
    )


def assert_refused(answer: Answer, status: int) -> None:
    """Refused with one event; the gateway still waits."""
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer["Content-Type"] == "application/problem+json"
    assert len(codes()) == 3
    assert codes()[-1].endswith("W")
    assert Gateway.objects.get().state == GatewayState.PENDING


def test_an_agent_enrols_with_its_token(token: str) -> None:
    answer = enroll(Agent().document(token))
    assert answer.status_code == 201
    key = verification_key()
    assert answer.json() == {
        "gateway": Gateway.objects.get().ref.id,
        "deployment": "peerage",
        "epoch": 1,
        "snapshot_keys": [
            {
                "keyid": key.keyid,
                "public_key": base64.b64encode(key.public_key).decode(),
            }
        ],
    }
    assert "no-store" in answer["Cache-Control"]
    assert AuditEvent.objects.latest("id").actor_address == "127.0.0.1"


def test_a_second_use_of_the_token_is_refused(token: str) -> None:
    first = Agent()
    enroll(first.document(token))
    answer = enroll(Agent().document(token))
    assert (answer.status_code, codes()[3:]) == (403, ["GW001W"])
    assert Gateway.objects.get().public_key == first.wireguard_key


def test_an_unknown_token_is_refused(token: str) -> None:
    assert_refused(enroll(Agent().document(token.swapcase())), 403)


def test_a_token_that_is_no_unicode_is_refused(token: str) -> None:
    assert_refused(enroll(Agent().document(token) | {"token": "\ud800"}), 403)


@pytest.mark.parametrize(
    "changed",
    [
        {"wireguard_key": base64.b64encode(bytes(32)).decode()},
        {"signing_key": "nonsense"},
        {"proof": "nonsense"},
        {"proof": "\ud800"},
        {"agent_version": "1\n2"},
    ],
)
def test_a_bad_document_is_refused_with_one_event(
    token: str, changed: dict[str, str]
) -> None:
    assert_refused(enroll({**Agent().document(token), **changed}), 400)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="not JSON"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b"[]", id="not an object"),
        pytest.param(b"{}", id="fields missing"),
        pytest.param(b"[" * 10_000, id="deep"),
        pytest.param(b" " * (MAXIMUM_BYTES + 1), id="too long"),
    ],
)
def test_a_malformed_body_is_refused_with_one_event(token: str, body: bytes) -> None:
    assert token
    assert_refused(enroll(body), 400)


@pytest.mark.parametrize("changed", [{"more": "x"}, {"token": 7}, {"proof": None}])
def test_another_shape_is_refused_with_one_event(
    token: str, changed: dict[str, object]
) -> None:
    assert_refused(enroll({**Agent().document(token), **changed}), 400)


def test_without_a_key_to_pin_the_token_is_not_spent(
    token: str, settings: Settings
) -> None:
    settings.PEERAGE_SIGNING_KEY_FILE = "/nonexistent/key"
    with pytest.raises(SigningKeyError):
        enroll(Agent().document(token))
    assert GatewayEnrolmentToken.objects.get().used_at is None


def test_guessing_is_slowed_down(token: str) -> None:
    for _ in range(TRIES_PER_MINUTE):
        enroll(Agent().document("guess"))
    before = codes()
    assert enroll(Agent().document(token)).status_code == 429
    assert codes() == before
    counted = RefusalCount.objects.get(suppressed__gt=0)
    assert (counted.code, counted.place) == ("GW001", "127.0.0.1")


def test_only_post_is_answered(token: str) -> None:
    assert token
    assert Client().get("/api/gateway/v1/enroll").status_code == 405
