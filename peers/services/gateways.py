"""Gateways: described, enrolled once with a single-use token, retired for good."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings
from django.db import IntegrityError, transaction

from audit.actor import Ref
from audit.events import EventCode, Outcome
from audit.services import record
from peers.endpoints import valid_endpoint_host, valid_endpoint_port
from peers.errors import (
    EnrolmentTokenError,
    GatewayStateError,
    InvalidNameError,
    KeySeenError,
    PeerError,
    PossessionError,
)
from peers.keys import (
    decode_base64,
    fingerprint,
    parse_public_key,
    parse_signing_key,
)
from peers.models import (
    DeviceKey,
    ForgottenKey,
    Gateway,
    GatewayEnrolmentToken,
    GatewayState,
)
from peers.names import valid_name
from peers.signals import peers_changed

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor

TOKEN_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
VERSION_LENGTH: Final = 64
PROOF_CONTEXT: Final = b"peerage gateway enrolment v1\n"
ENROLLED_FIELDS: Final = (
    "signing_key",
    "public_key",
    "agent_version",
    "state",
    "enrolled_at",
    "seen_at",
)
NAME_TAKEN: Final = "another gateway has this name"
KEY_SEEN: Final = "this key has been used before; make a new one"
TOKEN_REFUSED: Final = "the enrolment token is unknown, used or expired"  # noqa: S105 -- a message


def create_gateway(
    *, name: str, endpoint_host: str, endpoint_port: int, actor: Actor, now: datetime
) -> Gateway:
    """Describe a gateway; it serves nobody until its agent has enrolled.

    Raises:
        InvalidNameError: the name is malformed or taken.
        InvalidEndpointError: clients cannot dial the endpoint.
    """
    try:
        gateway = Gateway(
            name=valid_name(name),
            endpoint_host=valid_endpoint_host(endpoint_host),
            endpoint_port=valid_endpoint_port(endpoint_port),
            created_at=now,
        )
        with transaction.atomic():
            _save_named(gateway)
            _record_described(EventCode.GATEWAY_CREATE, gateway, actor, now)
    except PeerError as exc:
        _record_refused(EventCode.GATEWAY_CREATE, exc, Ref(id=""), actor, now)
        raise
    return gateway


def update_gateway(
    *,
    gateway: Gateway,
    name: str,
    endpoint_host: str,
    endpoint_port: int,
    actor: Actor,
    now: datetime,
) -> Gateway:
    """Change a gateway's name and endpoint; clients need a new configuration then.

    Raises:
        InvalidNameError: the name is malformed or taken.
        InvalidEndpointError: clients cannot dial the endpoint.
    """
    try:
        changed: dict[str, str | int] = {
            "name": valid_name(name),
            "endpoint_host": valid_endpoint_host(endpoint_host),
            "endpoint_port": valid_endpoint_port(endpoint_port),
        }
        with transaction.atomic():
            _update_named(gateway, changed)
            _record_described(EventCode.GATEWAY_UPDATE, gateway, actor, now)
            _tell(gateway)
    except PeerError as exc:
        _record_refused(EventCode.GATEWAY_UPDATE, exc, gateway.ref, actor, now)
        raise
    return gateway


def issue_enrolment_token(*, gateway: Gateway, actor: Actor, now: datetime) -> str:
    """Return a new single-use token, the only time it is seen in plain text.

    An earlier token of this gateway ends here.

    Raises:
        GatewayStateError: the gateway has enrolled or was retired.
    """
    try:
        with transaction.atomic():
            return _issue_token(gateway, actor, now)
    except PeerError as exc:
        code = EventCode.GATEWAY_TOKEN_ISSUED
        _record_refused(code, exc, gateway.ref, actor, now)
        raise


def enroll_gateway(
    *,
    token: str,
    signing_key: str,
    wireguard_key: str,
    agent_version: str,
    proof: str,
    actor: Actor,
    now: datetime,
) -> Gateway:
    """Enrol the gateway that a token is for, with the keys its agent made.

    A refusal changes nothing, not even the token, and records one event.

    Raises:
        EnrolmentTokenError: the token is unknown, used or expired.
        InvalidKeyError: a key is malformed or weak.
        KeySeenError: a key was seen before.
        PossessionError: the proof was not signed by the signing key.
        InvalidNameError: the agent's version is not a line of visible text.
    """
    try:
        with transaction.atomic():
            gateway = _take_token(token, now)
            gateway.signing_key = parse_signing_key(signing_key)
            parse_public_key(wireguard_key)
            gateway.public_key = wireguard_key
            gateway.agent_version = valid_name(agent_version, limit=VERSION_LENGTH)
            _verify_proof(gateway.signing_key, token, wireguard_key, proof)
            _enroll(gateway, now)
            record(
                EventCode.AGENT_ENROLL,
                actor=actor,
                now=now,
                gateway=gateway.ref,
                details={
                    "fingerprint": fingerprint(wireguard_key),
                    "signing_fingerprint": fingerprint(signing_key),
                    "agent_version": gateway.agent_version,
                },
            )
            _tell(gateway)
    except PeerError as exc:
        _record_refused(EventCode.AGENT_ENROLL, exc, _claimed(token), actor, now)
        raise
    return gateway


@transaction.atomic
def retire_gateway(*, gateway: Gateway, actor: Actor, now: datetime) -> Gateway:
    """Retire a gateway: its requests are refused from now on, its keys stay known.

    Retiring again changes nothing.
    """
    changed = (
        Gateway.objects.filter(pk=gateway.pk)
        .exclude(state=GatewayState.RETIRED)
        .update(state=GatewayState.RETIRED)
    )
    gateway.refresh_from_db(fields=("state",))
    if changed:
        record(EventCode.GATEWAY_RETIRE, actor=actor, now=now, gateway=gateway.ref)
        _tell(gateway)
    return gateway


def _issue_token(gateway: Gateway, actor: Actor, now: datetime) -> str:
    # Locked: of two tokens issued at once, the later one ends the earlier.
    gateway = Gateway.objects.select_for_update(no_key=True).get(pk=gateway.pk)
    if gateway.state != GatewayState.PENDING:
        raise GatewayStateError(f"{gateway.name} is {gateway.get_state_display()}")
    GatewayEnrolmentToken.objects.filter(
        gateway=gateway, used_at__isnull=True, expires_at__gt=now
    ).update(expires_at=now)
    # Base64 alone may begin with "-", which a command line takes for an option.
    token = f"peerage_gw_{secrets.token_urlsafe(TOKEN_BYTES)}"
    lifetime = timedelta(seconds=settings.PEERAGE_ENROLMENT_TOKEN_SECONDS)
    GatewayEnrolmentToken.objects.create(
        gateway=gateway,
        token_sha256=_sha256(token),
        created_at=now,
        expires_at=now + lifetime,
    )
    record(
        EventCode.GATEWAY_TOKEN_ISSUED,
        actor=actor,
        now=now,
        gateway=gateway.ref,
        details={"lifetime_seconds": settings.PEERAGE_ENROLMENT_TOKEN_SECONDS},
    )
    return token


def _take_token(token: str, now: datetime) -> Gateway:
    """Use the token up, in one statement, and return its gateway."""
    digest = _sha256(token)
    found = GatewayEnrolmentToken.objects.filter(token_sha256=digest).first()
    if found is None or not hmac.compare_digest(found.token_sha256, digest):
        raise EnrolmentTokenError(TOKEN_REFUSED)
    # Columns of this row only: PostgreSQL judges a row anew after waiting for the
    # transaction that changed it, but not what a join found beside it.
    used = GatewayEnrolmentToken.objects.filter(
        pk=found.pk, used_at__isnull=True, expires_at__gt=now
    ).update(used_at=now)
    if not used:
        raise EnrolmentTokenError(TOKEN_REFUSED)
    return found.gateway


def _verify_proof(
    signing_key: bytes, token: str, wireguard_key: str, proof: str
) -> None:
    message = PROOF_CONTEXT + token.encode() + b"\n" + wireguard_key.encode()
    # What is not base64 of 64 bytes becomes an empty, hence wrong, signature.
    signature = decode_base64(proof, length=SIGNATURE_BYTES) or b""
    try:
        Ed25519PublicKey.from_public_bytes(signing_key).verify(signature, message)
    except InvalidSignature as exc:
        raise PossessionError("the proof is not signed by the signing key") from exc


def _enroll(gateway: Gateway, now: datetime) -> None:
    for rows in (DeviceKey.objects, ForgottenKey.objects):
        if rows.filter(public_key=gateway.public_key).exists():
            raise KeySeenError(KEY_SEEN)
    gateway.state = GatewayState.ENROLLED
    gateway.enrolled_at = now
    gateway.seen_at = now
    pending = Gateway.objects.filter(pk=gateway.pk, state=GatewayState.PENDING)
    try:
        with transaction.atomic():
            enrolled = pending.update(
                **{name: getattr(gateway, name) for name in ENROLLED_FIELDS}
            )
    except IntegrityError as exc:
        raise KeySeenError(KEY_SEEN) from exc
    if not enrolled:
        raise EnrolmentTokenError(TOKEN_REFUSED)


def _save_named(gateway: Gateway) -> None:
    try:
        with transaction.atomic():
            gateway.save()
    except IntegrityError as exc:
        raise InvalidNameError(NAME_TAKEN) from exc


def _update_named(gateway: Gateway, changed: dict[str, str | int]) -> None:
    try:
        with transaction.atomic():
            Gateway.objects.filter(pk=gateway.pk).update(**changed)
    except IntegrityError as exc:
        raise InvalidNameError(NAME_TAKEN) from exc
    gateway.refresh_from_db(fields=tuple(changed))


def _record_described(
    code: EventCode, gateway: Gateway, actor: Actor, now: datetime
) -> None:
    record(
        code,
        actor=actor,
        now=now,
        gateway=gateway.ref,
        details={
            "endpoint_host": gateway.endpoint_host,
            "endpoint_port": gateway.endpoint_port,
        },
    )


def _record_refused(
    code: EventCode, exc: PeerError, gateway: Ref, actor: Actor, now: datetime
) -> None:
    record(
        code,
        outcome=Outcome.REFUSED,
        actor=actor,
        now=now,
        gateway=gateway,
        reason=str(exc),
        details={"error": type(exc).__name__},
    )


def _claimed(token: str) -> Ref:
    """Return the gateway whose token it is or was, for the log."""
    found = GatewayEnrolmentToken.objects.filter(token_sha256=_sha256(token)).first()
    return found.gateway.ref if found is not None else Ref(id="")


def _tell(gateway: Gateway) -> None:
    peers_changed.send(
        Gateway, user_ids=frozenset(), gateway_ids=frozenset({gateway.pk})
    )


def _sha256(token: str) -> str:
    # JSON can say what UTF-8 cannot (a lone surrogate); no token of ours is so.
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
