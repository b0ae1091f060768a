"""Who is refused all the time waits apart; a gateway that is known does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import RequestFactory

from audit.actor import Actor, ActorKind
from audit.http import PortalRequest
from peers.api import authentication, strangers
from peers.api.authentication import authenticate_gateway, is_suspect
from peers.api.strangers import Strangers
from peers.errors import GatewayRequestError
from peers.models import Gateway
from tests.peers.api.signing import SignedRequest
from tests.peers.makers import NOW

pytestmark = pytest.mark.django_db
HERE = "192.0.2.9"
LIMIT = 3


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Suspect nobody; a few refusals are enough."""
    monkeypatch.setattr(authentication, "strangers", Strangers())
    monkeypatch.setattr(strangers, "REFUSED_A_MINUTE", LIMIT)


@pytest.fixture
def signed(gw1: Gateway) -> SignedRequest:
    """A request as gw1 signs it."""
    key = Ed25519PrivateKey.generate()
    gw1.signing_key = key.public_key().public_bytes_raw()
    gw1.save()
    return SignedRequest(key=key, keyid=gw1.ref.id)


def received(
    sent: SignedRequest, *, address: str = HERE, minutes: int = 0
) -> PortalRequest:
    request = cast(
        "PortalRequest",
        RequestFactory().generic(
            sent.method,
            sent.path,
            sent.body,
            content_type="application/json",
            headers=sent.fields(),
        ),
    )
    request.actor = Actor(
        kind=ActorKind.ANONYMOUS, address=address, request_id="0123456789abcdef"
    )
    request.received_at = NOW + timedelta(minutes=minutes)
    return request


def refused(sent: SignedRequest, times: int = LIMIT + 1) -> None:
    """Let so many requests be refused."""
    for _ in range(times):
        with pytest.raises(GatewayRequestError):
            authenticate_gateway(received(sent), channel="acks", now=NOW)


@pytest.fixture
def forged(signed: SignedRequest) -> SignedRequest:
    """The same, signed by somebody else."""
    return replace(signed, key=Ed25519PrivateKey.generate())


def test_a_place_that_is_refused_too_often_is_suspect(forged: SignedRequest) -> None:
    refused(forged, LIMIT)
    assert not is_suspect(received(forged))
    refused(forged, 1)
    assert is_suspect(received(forged))


def test_another_place_and_another_minute_are_not(forged: SignedRequest) -> None:
    refused(forged)
    assert not is_suspect(received(forged, address="192.0.2.10"))
    assert not is_suspect(received(forged, minutes=1))


def test_a_known_gateway_is_no_stranger_behind_the_same_address(
    signed: SignedRequest, forged: SignedRequest
) -> None:
    authenticate_gateway(received(signed), channel="acks", now=NOW)
    refused(forged)
    assert not is_suspect(received(signed.but(sequence="2")))
    assert is_suspect(received(forged.but(sequence="2")))


@pytest.mark.parametrize(
    "break_it",
    [
        lambda request: request.META.pop("HTTP_SIGNATURE"),
        lambda request: request.META.update(HTTP_SIGNATURE_INPUT="nonsense"),
        lambda request: request.META.update(HTTP_HOST="evil.test"),
    ],
    ids=["unsigned", "malformed", "another host"],
)
def test_whatever_is_malformed_is_a_strangers(
    signed: SignedRequest,
    forged: SignedRequest,
    break_it: Callable[[PortalRequest], object],
) -> None:
    authenticate_gateway(received(signed), channel="acks", now=NOW)
    refused(forged)
    request = received(signed)
    break_it(request)
    assert is_suspect(request)


def test_of_more_places_than_are_counted_the_others_share_one_count(
    signed: SignedRequest, forged: SignedRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "MOST_PLACES", 1)
    refused(forged, 1)
    for number in range(LIMIT + 1):
        with pytest.raises(GatewayRequestError):
            authenticate_gateway(
                received(forged, address=f"198.51.100.{number}"),
                channel="acks",
                now=NOW,
            )
    assert is_suspect(received(forged, address="203.0.113.1"))
    assert not is_suspect(received(forged))
