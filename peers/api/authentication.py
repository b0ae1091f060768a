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
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

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
from peers.api.strangers import strangers
from peers.errors import (
    ClockError,
    GatewayRequestError,
    QuarantineError,
    ReplayError,
)
from peers.models import Gateway, GatewaySigningKey
from peers.selectors import enrolled_gateways
from peers.sequences import Position, Verdict
from peers.services.signing_keys import endorsed, is_on_offer, is_signed

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from audit.http import PortalRequest

CLOCK_TOLERANCE: Final = timedelta(seconds=60)
CLAIM_LENGTH: Final = 200
CLOCK_WARNING: Final = timedelta(seconds=30)
"""Half of what is tolerated: told while requests are not refused yet."""
KEYS_TRIED: Final = 16
"""Former keys that are told from a stranger's: they are replaced every 30 days, so more
than a year's. Older ones are refused as well, but nobody learns that two hold the key.
Each costs a tenth of a millisecond of whoever signs with none of them."""
QUARANTINED: Final = (
    "two hold the key of this gateway: it is in quarantine until an administrator"
    " releases it in the portal"
)
_SEQUENCE: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_DEFAULT_PORT: Final = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOffer:
    """A new key, which signs the request, and what the key before signed for it."""

    key: bytes
    endorsement: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signer:
    """Whose signature holds, when it was made, and by which key if not the one in use.

    Of an offer it is the key that endorses.
    """

    gateway: Gateway
    created: int
    skew: float
    """Seconds that its clock is ahead of ours."""
    key: GatewaySigningKey | None = None

    @property
    def is_former(self) -> bool:
        return self.key is not None and self.key.ended_at is not None


def authenticate_gateway(
    request: PortalRequest,
    *,
    channel: str,
    now: datetime,
    offer: KeyOffer | None = None,
) -> Gateway:
    """Return the enrolled gateway that signed this request.

    With an `offer` the new key must have signed, and the one in use endorse it. The
    first use of a key on offer ends the one before.

    Raises:
        GatewayRequestError: any check failed. One event was recorded.
        ReplayError: the signature holds, but the sequence on this channel was
            reached before. One event was recorded.
        QuarantineError: the signature holds, but two hold the key. One event was
            recorded, and for the first such request another one, an alert.
    """
    try:
        sequence = _sequence(request)
        signer = _signer(request, now, offer)
        gateway = signer.gateway
    except ClockError as exc:
        # Its signature holds, which whoever has heard it can send again, so often.
        record_refused(request, exc, gateway=exc.gateway, now=now)
        raise
    except GatewayRequestError as exc:
        strangers.refused(request)
        record_refused(request, exc, now=now)
        raise
    if signer.key is None:
        strangers.accepted(gateway)
    try:
        if gateway.quarantined_at is not None:
            raise QuarantineError(QUARANTINED)
        seen = Position(sequence=sequence, created=signer.created)
        if signer.is_former:
            _refuse_former(request, signer, channel, seen, now)
        _advance(request, gateway, channel, seen, now)
    except GatewayRequestError as exc:
        record_refused(request, exc, gateway=gateway, now=now)
        raise
    if signer.key is not None and offer is None:
        services.promote_signing_key(
            gateway=gateway,
            key=signer.key,
            created=signer.created,
            actor=gateway_actor(gateway, request),
            now=now,
        )
    Gateway.objects.filter(pk=gateway.pk).update(seen_at=now)
    gateway.seen_at = now
    if abs(signer.skew) > CLOCK_WARNING.total_seconds():
        # Not a replay: the sequence was new.
        services.report_clock(
            gateway=gateway,
            skew=signer.skew,
            actor=gateway_actor(gateway, request),
            now=now,
        )
    return gateway


def is_suspect(request: PortalRequest) -> bool:
    """Return whether a request waits apart, as one of many that nobody known signed."""
    return strangers.is_suspect(request, _components)


def require_free(gateway: Gateway, *, among: Collection[int]) -> None:
    """Refuse a gateway that is not `among` those free by now (`free_gateways`).

    Raises:
        QuarantineError: it may be told nothing any more.
    """
    if gateway.pk not in among:
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
    quarantine, which asks again and again, or has heard what it signed once.
    """
    details = {
        "method": (request.method or "")[:16],
        "path": request.path[:CLAIM_LENGTH],
        "claimed": request.headers.get("Signature-Input", "")[:CLAIM_LENGTH],
    }
    if gateway is None or isinstance(error, QuarantineError | ClockError):
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


def _signer(request: PortalRequest, now: datetime, offer: KeyOffer | None) -> _Signer:
    announced = parse_signature_input(request.headers.get("Signature-Input", ""))
    signature = parse_signature(request.headers.get("Signature", ""))
    gateway = enrolled_gateways().filter(pk=announced.gateway_id).first()
    if gateway is None or gateway.signing_key is None:
        raise GatewayRequestError("no such gateway is enrolled")
    signed = signature_base(_components(request), announced.params)
    if offer is None:
        key = _key_of(gateway, signature, signed, now)
    else:
        key = _endorser(gateway, offer, signature, signed, now)
    skew = announced.created - now.timestamp()
    if abs(skew) > CLOCK_TOLERANCE.total_seconds():
        raise ClockError(gateway, skew)
    digest = request.headers.get("Content-Digest", "")
    if not hmac.compare_digest(digest.encode(), content_digest(request.body).encode()):
        raise GatewayRequestError("the body does not have the digest that was signed")
    return _Signer(gateway=gateway, created=announced.created, skew=skew, key=key)


def _endorser(
    gateway: Gateway, offer: KeyOffer, signature: bytes, signed: bytes, now: datetime
) -> GatewaySigningKey | None:
    """Return the key that ended and endorses a new one; None: the one in use does.

    Raises:
        GatewayRequestError: the new key did not sign, or nobody endorses it. Before
            anything else, or anybody could make a key and speak for a gateway.
    """
    if not is_signed(offer.key, signature, signed):
        raise GatewayRequestError("the signature is wrong")
    if offer.key == bytes(gateway.signing_key or b""):
        return None
    if is_on_offer(gateway, offer.key):
        # It was endorsed when it came first; who endorsed it may have ended since,
        # and a gateway that never heard the answer has no other way to go on.
        return None
    key = _key_of(gateway, offer.endorsement, endorsed(gateway, offer.key), now)
    if key is not None and key.ended_at is None:
        raise GatewayRequestError("a key on offer endorses nothing")
    return key


def _key_of(
    gateway: Gateway, signature: bytes, signed: bytes, now: datetime
) -> GatewaySigningKey | None:
    """Return the key on offer or ended by which it is signed; None: the one in use.

    Raises:
        GatewayRequestError: no key of this gateway signed it.
    """
    if is_signed(bytes(gateway.signing_key or b""), signature, signed):
        if gateway.signing_key_until and gateway.signing_key_until <= now:
            raise GatewayRequestError("the key has ended; its successor counts")
        return None
    for key in gateway.signing_keys.exclude(public_key=gateway.signing_key)[
        :KEYS_TRIED
    ]:
        if is_signed(bytes(key.public_key), signature, signed):
            return key
    raise GatewayRequestError("the signature is wrong")


def _refuse_former(
    request: PortalRequest, signer: _Signer, channel: str, seen: Position, now: datetime
) -> None:
    """Refuse a key that ended; who signs with it later holds what another replaced."""
    ended = signer.key.ended_at if signer.key else None
    if ended is None or seen.created <= ended.timestamp():
        raise ReplayError("the key has ended")
    services.quarantine_gateway(
        gateway=signer.gateway,
        channel=channel,
        seen=seen,
        is_former_key=True,
        actor=gateway_actor(signer.gateway, request),
        now=now,
    )
    raise QuarantineError(QUARANTINED)


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
