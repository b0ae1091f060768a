"""A gateway's key is exchanged: endorsed, proven, with no moment without a key."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client
from django.utils import timezone

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers import services
from peers.api.gateway_views import MAXIMUM_BYTES
from peers.models import Gateway, GatewaySigningKey
from tests.peers.api.signing import SignedRequest
from tests.peers.makers import Agent, codes, make_gateway

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

pytestmark = pytest.mark.django_db
KEY = "/api/gateway/v1/key"
CONTEXT = "peerage gateway key v1\n"


def public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


@dataclass
class Rotating:
    """An agent that has made another key; requests go to the real addresses."""

    gateway: Gateway
    old: Ed25519PrivateKey
    new: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    sequence: int = 0
    ahead: int = 0

    def signed(self, key: Ed25519PrivateKey, path: str, body: bytes) -> SignedRequest:
        self.sequence += 1
        now = int(timezone.now().timestamp())  # noqa: TID251 -- a test's edge
        return SignedRequest(
            key=key,
            keyid=self.gateway.ref.id,
            path=path,
            body=body,
            sequence=str(self.sequence),
            created=now + self.ahead,
        )

    def endorsement(self, by: Ed25519PrivateKey, key: Ed25519PrivateKey) -> str:
        text = f"{CONTEXT}{self.gateway.ref.id}\n{public(key)}"
        return base64.b64encode(by.sign(text.encode())).decode()

    def offer(self, **changed: str) -> Answer:
        body = {
            "signing_key": public(self.new),
            "endorsement": self.endorsement(self.old, self.new),
            **changed,
        }
        return send(self.signed(self.new, KEY, json.dumps(body).encode()))

    def speak(self, key: Ed25519PrivateKey) -> int:
        """Say something that authenticates and is then refused as malformed: 422."""
        sent = self.signed(key, "/api/gateway/v1/acks", b"{}")
        return int(send(sent).status_code)


def send(sent: SignedRequest) -> Answer:
    return Client().post(
        sent.path, sent.body, content_type="application/json", headers=sent.fields()
    )


@pytest.fixture
def rotating(db: None) -> Rotating:
    """Return an enrolled gateway that rotates its key now."""
    now = timezone.now()  # noqa: TID251 -- a test's edge
    token = services.issue_enrolment_token(
        gateway=make_gateway("edge"), actor=SYSTEM, now=now
    )
    agent = Agent()
    return Rotating(agent.enroll(token, now=now), agent.signing)


def test_both_keys_count_until_the_new_one_is_used(rotating: Rotating) -> None:
    before = codes()
    assert rotating.offer().status_code == 204
    assert codes() == [*before, "GW023I"]
    assert rotating.speak(rotating.old) == 422
    assert codes()[-1] == "GW013W"
    assert rotating.speak(rotating.new) == 422
    assert codes()[-2:] == ["GW024I", "GW013W"]
    gateway = Gateway.objects.get()
    assert bytes(gateway.signing_key or b"") == (
        rotating.new.public_key().public_bytes_raw()
    )
    assert gateway.signing_key_at is not None
    assert gateway.signing_key_until is None


def test_f04_the_key_before_used_later_is_a_second_holder(rotating: Rotating) -> None:
    """Whoever copied the disk before the rotation is found when they speak."""
    rotating.offer()
    rotating.speak(rotating.new)
    rotating.ahead = -5
    assert rotating.speak(rotating.old) == 409
    assert Gateway.objects.get().quarantined_at is None
    rotating.ahead = 5
    assert rotating.speak(rotating.old) == 403
    assert Gateway.objects.get().quarantined_at is not None
    assert AuditEvent.objects.get(code="GW020").details["is_former_key"] is True
    assert rotating.speak(rotating.new) == 403


def test_f04_a_thief_who_rotates_is_found_when_the_gateway_speaks(
    rotating: Rotating,
) -> None:
    thief = Rotating(rotating.gateway, rotating.old, sequence=50)
    thief.offer()
    assert thief.speak(thief.new) == 422
    rotating.ahead = 5
    assert rotating.speak(rotating.old) == 403
    assert thief.speak(thief.new) == 403


def test_a_lost_answer_is_made_good_by_asking_again(rotating: Rotating) -> None:
    before = codes()
    assert [rotating.offer().status_code for _ in range(3)] == [204] * 3
    assert codes() == [*before, "GW023I"]
    rotating.speak(rotating.new)
    assert rotating.offer().status_code == 204
    assert codes().count("GW023I") == 1


def test_the_key_before_ends_after_four_hours_though_the_new_one_is_unused(
    rotating: Rotating,
) -> None:
    rotating.offer()
    until = Gateway.objects.get().signing_key_until
    assert until is not None
    Gateway.objects.update(signing_key_until=until - timedelta(hours=4, seconds=5))
    assert rotating.speak(rotating.old) == 401
    other = Rotating(rotating.gateway, rotating.old, sequence=50)
    assert other.offer().status_code == 401
    # Whoever never heard the answer and comes back now introduces it again.
    rotating.sequence = 60
    assert rotating.offer().status_code == 204
    assert rotating.speak(rotating.new) == 422
    assert Gateway.objects.get().quarantined_at is None


def test_a_key_of_anybody_is_no_key_of_a_gateway(rotating: Rotating) -> None:
    stranger = Ed25519PrivateKey.generate()
    forged = rotating.endorsement(stranger, rotating.new)
    assert rotating.offer(endorsement=forged).status_code == 401
    own = rotating.endorsement(rotating.new, rotating.new)
    assert rotating.offer(endorsement=own).status_code == 401
    assert rotating.speak(rotating.new) == 401
    assert not GatewaySigningKey.objects.exists()


def test_f03_a_strangers_offers_move_no_counter_and_lock_nobody(
    rotating: Rotating,
) -> None:
    rotating.offer()
    stranger = Rotating(rotating.gateway, Ed25519PrivateKey.generate(), ahead=30)
    assert stranger.offer().status_code == 401
    assert Gateway.objects.get().quarantined_at is None
    assert rotating.offer().status_code == 204


def test_possession_of_the_new_key_is_proven(rotating: Rotating) -> None:
    body = {
        "signing_key": public(rotating.new),
        "endorsement": rotating.endorsement(rotating.old, rotating.new),
    }
    sent = rotating.signed(rotating.old, KEY, json.dumps(body).encode())
    assert send(sent).status_code == 401


def test_an_endorsement_is_for_one_gateway(rotating: Rotating) -> None:
    text = f"{CONTEXT}gw_999\n{public(rotating.new)}"
    other = base64.b64encode(rotating.old.sign(text.encode())).decode()
    assert rotating.offer(endorsement=other).status_code == 401


def test_a_key_is_never_taken_twice(rotating: Rotating) -> None:
    rotating.offer()
    rotating.speak(rotating.new)
    again = Rotating(rotating.gateway, rotating.new, rotating.old, sequence=20)
    answer = again.offer()
    assert answer.status_code == 422
    assert "used before" in answer.json()["detail"]
    assert codes()[-1] == "GW023W"


def test_another_gateways_key_is_refused(rotating: Rotating) -> None:
    now = timezone.now()  # noqa: TID251 -- a test's edge
    other = Agent()
    other.enroll(
        services.issue_enrolment_token(
            gateway=make_gateway("other"), actor=SYSTEM, now=now
        ),
        now=now,
    )
    rotating.new = other.signing
    assert rotating.offer().status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"signing_key": 1, "endorsement": 2}',
        b'{"signing_key": "AAAA", "endorsement": ""}',
        b" " * (MAXIMUM_BYTES + 1),
    ],
    ids=["nothing", "list", "empty", "numbers", "short", "long"],
)
def test_a_malformed_offer_is_refused_with_one_event(
    rotating: Rotating, body: bytes
) -> None:
    before = codes()
    assert send(rotating.signed(rotating.new, KEY, body)).status_code == 422
    assert codes() == [*before, "GW013W"]


def test_a_gateway_in_quarantine_exchanges_no_key(rotating: Rotating) -> None:
    Gateway.objects.update(quarantined_at=timezone.now())  # noqa: TID251 -- a test's edge
    assert rotating.offer().status_code == 403
    assert not GatewaySigningKey.objects.exists()
