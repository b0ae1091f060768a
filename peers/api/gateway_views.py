"""A gateway's first word: its enrolment; and the exchange of its key.

Everything after the enrolment is signed. It is the one endpoint that strangers may
call, so it is small: 16 KiB of JSON, a few tries a minute for an address, and a token
of 256 bits to guess. The key that a gateway pins comes from the layer above, named in
`settings.PEERAGE_VERIFICATION_KEY`.
"""

from __future__ import annotations

import base64
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from audit.events import EventCode
from audit.refusals import count_refusal
from peers import services
from peers.api.authentication import (
    KeyOffer,
    authenticate_gateway,
    gateway_actor,
    record_refused,
)
from peers.api.problems import problem, refusal
from peers.api.signatures import SIGNATURE_BYTES
from peers.errors import GatewayRequestError, KeySeenError, PeerError
from peers.keys import decode_base64, parse_signing_key
from portal.accounts.throttle import is_too_often

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from audit.http import PortalRequest
    from peers.models import Gateway

MAXIMUM_BYTES: Final = 16 * 1024
TRIES_PER_MINUTE: Final = 20
FIELDS: Final = (
    "token",
    "signing_key",
    "wireguard_key",
    "agent_version",
    "proof",
)
KEY_FIELDS: Final = ("signing_key", "endorsement")


class PinnedKey(Protocol):
    """The portal's Ed25519 public key (32 bytes) and its id."""

    @property
    def keyid(self) -> str:
        """The id in envelopes."""

    @property
    def public_key(self) -> bytes:
        """The key."""


@csrf_exempt
@never_cache
@require_POST
def enroll(request: HttpRequest) -> HttpResponse:
    """Enrol the gateway whose token is sent, with the keys its agent made."""
    portal_request = cast("PortalRequest", request)
    if is_too_often(
        "gateway-enrolment",
        address=portal_request.client_address,
        limit=TRIES_PER_MINUTE,
        now=portal_request.received_at,
    ):
        count_refusal(
            EventCode.AGENT_ENROLL,
            actor=portal_request.actor,
            now=portal_request.received_at,
        )
        return problem(HTTPStatus.TOO_MANY_REQUESTS, "try again in a minute")
    # Before the token is spent: without a key to pin there is no enrolment.
    pinned = _pinned_key()
    try:
        sent = _fields(portal_request.read(MAXIMUM_BYTES + 1), FIELDS)
        gateway = services.enroll_gateway(
            **sent, actor=portal_request.actor, now=portal_request.received_at
        )
    except GatewayRequestError as exc:
        record_refused(portal_request, exc, now=portal_request.received_at)
        return problem(HTTPStatus.BAD_REQUEST, str(exc))
    except PeerError as exc:
        return refusal(exc)
    return JsonResponse(_answer(gateway, pinned), status=HTTPStatus.CREATED)


@csrf_exempt
@never_cache
@require_POST
def key(request: HttpRequest) -> HttpResponse:
    """Take a new key for a gateway's requests; it signs this one (ADR-0020)."""
    portal_request = cast("PortalRequest", request)
    now = portal_request.received_at
    try:
        offer = _offered(portal_request)
    except PeerError as exc:
        refused = GatewayRequestError(str(exc))
        record_refused(portal_request, refused, now=now)
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc))
    try:
        gateway = authenticate_gateway(
            portal_request, channel="key", now=now, offer=offer
        )
        services.offer_signing_key(
            gateway=gateway,
            new=offer.key,
            actor=gateway_actor(gateway, portal_request),
            now=now,
        )
    except KeySeenError as exc:
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc))
    except PeerError as exc:
        return refusal(exc)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _offered(request: PortalRequest) -> KeyOffer:
    sent = _fields(request.body, KEY_FIELDS)
    endorsement = decode_base64(sent["endorsement"], length=SIGNATURE_BYTES)
    if endorsement is None:
        raise GatewayRequestError("the endorsement is not a signature")
    return KeyOffer(key=parse_signing_key(sent["signing_key"]), endorsement=endorsement)


def _answer(gateway: Gateway, pinned: PinnedKey) -> dict[str, Any]:
    return {
        "gateway": gateway.ref.id,
        "deployment": settings.PEERAGE_DEPLOYMENT,
        "epoch": gateway.epoch,
        "snapshot_keys": [
            {
                "keyid": pinned.keyid,
                "public_key": base64.b64encode(pinned.public_key).decode(),
            }
        ],
    }


def _pinned_key() -> PinnedKey:
    key: Callable[[], PinnedKey] = import_string(settings.PEERAGE_VERIFICATION_KEY)
    return key()


def _fields(body: bytes, names: Sequence[str]) -> dict[str, str]:
    if len(body) > MAXIMUM_BYTES:
        raise GatewayRequestError(f"the body is longer than {MAXIMUM_BYTES} bytes")
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise GatewayRequestError("the body is not JSON") from exc
    if (
        not isinstance(sent, dict)
        or sent.keys() != set(names)
        or not all(isinstance(value, str) for value in sent.values())
    ):
        raise GatewayRequestError(f"the body has the texts {', '.join(names)}")
    return sent
