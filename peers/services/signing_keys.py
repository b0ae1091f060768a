"""The key that signs a gateway's requests, and its exchange for a new one (ADR-0020).

The gateway makes the new key and signs the request that brings it with it, which proves
possession. The key before endorses it in the body: an attacker without that key has no
way in. Both count until the new one is first used, and the old one four hours at most.
No key is ever taken twice, and a key that ended and still signs has a second holder.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import IntegrityError, transaction

from audit.events import EventCode, Outcome
from audit.services import record
from peers.errors import KeySeenError, PeerError
from peers.keys import fingerprint
from peers.models import Gateway, GatewaySigningKey

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from audit.actor import Actor

ENDORSEMENT_CONTEXT: Final = b"peerage gateway key v1\n"
OVERLAP: Final = timedelta(hours=4)
SEEN: Final = "this key has been used before; make a new one"


def offer_signing_key(
    *, gateway: Gateway, new: bytes, actor: Actor, now: datetime
) -> None:
    """Let a new key sign for a gateway beside the one in use.

    The caller has verified that the new key signed the request and that the one in use
    endorses it. Offering the key that is in use, or the same key again, changes
    nothing; another one replaces it.

    Raises:
        KeySeenError: it was a signing key before.
    """
    if bytes(gateway.signing_key or b"") == new:
        return
    try:
        with transaction.atomic():
            _offer(gateway, new, actor, now)
    except PeerError as exc:
        record(
            EventCode.GATEWAY_KEY_OFFERED,
            outcome=Outcome.REFUSED,
            actor=actor,
            now=now,
            gateway=gateway.ref,
            reason=str(exc),
        )
        raise


@transaction.atomic
def promote_signing_key(
    *,
    gateway: Gateway,
    key: GatewaySigningKey,
    created: int,
    actor: Actor,
    now: datetime,
) -> None:
    """End the key before: its successor signed a request at `created`."""
    old, new = bytes(gateway.signing_key or b""), bytes(key.public_key)
    if not Gateway.objects.filter(pk=gateway.pk, signing_key=old).update(
        signing_key=new, signing_key_until=None, signing_key_at=now
    ):
        return
    GatewaySigningKey.objects.filter(pk=key.pk).update(used_at=now)
    GatewaySigningKey.objects.update_or_create(
        public_key=old,
        defaults={
            "gateway": gateway,
            "ended_at": datetime.fromtimestamp(created, UTC),
        },
        create_defaults={
            "gateway": gateway,
            "offered_at": gateway.enrolled_at or now,
            "ended_at": datetime.fromtimestamp(created, UTC),
        },
    )
    gateway.signing_key = new
    record(
        EventCode.GATEWAY_KEY_ROTATED,
        actor=actor,
        now=now,
        gateway=gateway.ref,
        details={"before": _fingerprint(old), "fingerprint": _fingerprint(new)},
    )


def is_signed(key: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether an Ed25519 key (32 bytes) signed a message."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def endorsed(gateway: Gateway, new: bytes) -> bytes:
    """Return what a key signs to endorse its successor."""
    named = f"{gateway.ref.id}\n{base64.b64encode(new).decode()}"
    return ENDORSEMENT_CONTEXT + named.encode()


def is_on_offer(gateway: Gateway, new: bytes) -> bool:
    """Return whether a gateway has offered this key already, and not used it yet."""
    return _offers(gateway).filter(public_key=new).exists()


def _offers(gateway: Gateway) -> QuerySet[GatewaySigningKey]:
    return GatewaySigningKey.objects.filter(
        gateway=gateway, used_at__isnull=True, ended_at__isnull=True
    )


def _offer(gateway: Gateway, new: bytes, actor: Actor, now: datetime) -> None:
    if Gateway.objects.filter(signing_key=new).exists():
        raise KeySeenError(SEEN)
    if is_on_offer(gateway, new):
        return
    _offers(gateway).update(ended_at=now)
    try:
        with transaction.atomic():
            GatewaySigningKey.objects.create(
                gateway=gateway, public_key=new, offered_at=now
            )
    except IntegrityError as exc:
        raise KeySeenError(SEEN) from exc
    # Once: a key that is offered anew does not prolong the one before.
    Gateway.objects.filter(pk=gateway.pk, signing_key_until__isnull=True).update(
        signing_key_until=now + OVERLAP
    )
    record(
        EventCode.GATEWAY_KEY_OFFERED,
        actor=actor,
        now=now,
        gateway=gateway.ref,
        details={"fingerprint": _fingerprint(new)},
    )


def _fingerprint(key: bytes) -> str:
    return fingerprint(base64.b64encode(key).decode())
