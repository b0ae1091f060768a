"""Who speaks for a gateway: the key in its row, by a signature over the request.

The order of checks is: form, signer, signature, time, body, quarantine, sequence.
Nothing changes before all but the last have passed, and the sequence moves by one
conditional UPDATE, so of two equal requests at once one is refused. A sequence that
only a second holder of the key can have signed puts the gateway in quarantine
(ADR-0020). The identity is the key id and nothing else. Every refusal is one event;
which check it was stands there and not in the answer.
"""

from __future__ import annotations

import hmac
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.core.exceptions import DisallowedHost

from audit.actor import Actor, ActorKind
from audit.events import EventCode, Outcome
from audit.refusals import record_refusal
from audit.services import NOBODY, record
from peers import services
from peers.api.signatures import (
    COMPONENTS,
    content_digest,
    parse_signature,
    parse_signature_input,
    signature_base,
)
from peers.errors import GatewayRequestError, QuarantineError, ReplayError
from peers.models import Gateway
from peers.selectors import enrolled_gateways
from peers.sequences import Position, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from audit.http import PortalRequest

CLOCK_TOLERANCE: Final = timedelta(seconds=60)
CLAIM_LENGTH: Final = 200
QUARANTINED: Final = (
    "two hold the key of this gateway: it is in quarantine until an administrator"
    " releases it in the portal"
)
_SEQUENCE: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_DEFAULT_PORT: Final = {"http": ":80", "https": ":443"}


def authenticate_gateway(
    request: PortalRequest, *, channel: str, now: datetime
) -> Gateway:
    """Return the enrolled gateway that signed this request.

    Raises:
        GatewayRequestError: any check failed. One event was recorded.
        ReplayError: the signature holds, but the sequence on this channel was
            reached before. One event was recorded.
        QuarantineError: the signature holds, but two hold the key. One event was
            recorded, and for the first such request another one, an alert.
    """
    try:
        sequence = _sequence(request)
        gateway, created = _signer(request, now)
    except GatewayRequestError as exc:
        record_refused(request, exc, now=now)
        raise
    try:
        if gateway.quarantined_at is not None:
            raise QuarantineError(QUARANTINED)
        seen = Position(sequence=sequence, created=created)
        _advance(request, gateway, channel, seen, now)
    except GatewayRequestError as exc:
        record_refused(request, exc, gateway=gateway, now=now)
        raise
    Gateway.objects.filter(pk=gateway.pk).update(seen_at=now)
    gateway.seen_at = now
    return gateway


def require_free(gateway: Gateway) -> None:
    """Refuse a gateway that by now is retired or in quarantine.

    Raises:
        QuarantineError: it may be told nothing any more.
    """
    if not enrolled_gateways().filter(pk=gateway.pk, quarantined_at=None).exists():
        raise QuarantineError(QUARANTINED)


def gateway_actor(gateway: Gateway, request: PortalRequest) -> Actor:
    """Return the gateway as the acting party of its own request."""
    return Actor(
        kind=ActorKind.GATEWAY,
        id=gateway.ref.id,
        label=gateway.ref.label,
        address=request.actor.address,
        request_id=request.actor.request_id,
    )


def record_refused(
    request: PortalRequest,
    error: GatewayRequestError,
    *,
    now: datetime,
    gateway: Gateway | None = None,
) -> None:
    """Record that a request in the name of a gateway was refused.

    Only a gateway whose signature held is named; the rest is a claim, which anybody
    can make as often as they like. So can whoever holds the key of a gateway in
    quarantine, which asks again and again.
    """
    details = {
        "method": (request.method or "")[:16],
        "path": request.path[:CLAIM_LENGTH],
        "claimed": request.headers.get("Signature-Input", "")[:CLAIM_LENGTH],
    }
    if gateway is None or isinstance(error, QuarantineError):
        record_refusal(
            EventCode.GATEWAY_REQUEST_REFUSED,
            actor=gateway_actor(gateway, request) if gateway else request.actor,
            now=now,
            gateway=gateway.ref if gateway else NOBODY,
            reason=str(error),
            details=details,
        )
        return
    record(
        EventCode.GATEWAY_REQUEST_REFUSED,
        outcome=Outcome.REFUSED,
        actor=gateway_actor(gateway, request),
        now=now,
        gateway=gateway.ref,
        reason=str(error),
        details=details,
    )


def _sequence(request: PortalRequest) -> int:
    text = request.headers.get("Peerage-Sequence", "")
    if _SEQUENCE.fullmatch(text) is None:
        raise GatewayRequestError("Peerage-Sequence is not a positive number")
    return int(text)


def _signer(request: PortalRequest, now: datetime) -> tuple[Gateway, int]:
    """Return the gateway whose signature holds, and when it says it signed."""
    announced = parse_signature_input(request.headers.get("Signature-Input", ""))
    signature = parse_signature(request.headers.get("Signature", ""))
    gateway = enrolled_gateways().filter(pk=announced.gateway_id).first()
    if gateway is None or gateway.signing_key is None:
        raise GatewayRequestError("no such gateway is enrolled")
    try:
        Ed25519PublicKey.from_public_bytes(bytes(gateway.signing_key)).verify(
            signature, signature_base(_components(request), announced.params)
        )
    except InvalidSignature as exc:
        raise GatewayRequestError("the signature is wrong") from exc
    if abs(now.timestamp() - announced.created) > CLOCK_TOLERANCE.total_seconds():
        raise GatewayRequestError("created is more than 60 seconds from our clock")
    digest = request.headers.get("Content-Digest", "")
    if not hmac.compare_digest(digest.encode(), content_digest(request.body).encode()):
        raise GatewayRequestError("the body does not have the digest that was signed")
    return gateway, announced.created


def _components(request: PortalRequest) -> list[tuple[str, str]]:
    values = (
        request.method or "",
        _authority(request),
        request.path,
        f"?{request.META.get('QUERY_STRING', '')}",
        request.headers.get("Content-Digest", ""),
        request.headers.get("Peerage-Sequence", ""),
    )
    return list(zip(COMPONENTS, values, strict=True))


def _authority(request: PortalRequest) -> str:
    try:
        host = request.get_host().lower()
    except DisallowedHost as exc:
        raise GatewayRequestError("the request is for another host") from exc
    # RFC 9421 §2.2.3: a scheme's own port is left out.
    return host.removesuffix(_DEFAULT_PORT[request.scheme or "http"])


def _advance(
    request: PortalRequest,
    gateway: Gateway,
    channel: str,
    seen: Position,
    now: datetime,
) -> None:
    """Move the channel up to `seen`, or refuse."""
    match services.advance_channel(gateway=gateway, channel=channel, seen=seen):
        case Verdict.ACCEPTED:
            return
        case Verdict.REPLAYED:
            msg = f"sequence {seen.sequence} was reached before on {channel}"
            raise ReplayError(msg)
        case Verdict.SECOND_HOLDER:
            services.quarantine_gateway(
                gateway=gateway,
                channel=channel,
                seen=seen,
                actor=gateway_actor(gateway, request),
                now=now,
            )
            raise QuarantineError(QUARANTINED)
