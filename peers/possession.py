"""Proof that a person holds the private key of the public key they offer. Pure.

X25519 has no signatures, so the portal makes an ephemeral key for one enrolment and
both sides compute the same shared secret. The proof is an HMAC under that secret
over the challenge, its nonce and the offered key: it fits this enrolment only, and
nobody who merely saw the public key can make it (attack B04).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from peers.keys import decode_base64

if TYPE_CHECKING:
    from uuid import UUID

NONCE_BYTES: Final = 32
PROOF_BYTES: Final = 32
_CONTEXT: Final = b"peerage enrolment v1\n"


def possession_proof(
    private_key: bytes,
    peer_public_key: bytes,
    *,
    challenge_id: UUID,
    nonce: bytes,
    public_key: str,
) -> bytes:
    """Return the proof as either side computes it.

    `private_key` is one side's and `peer_public_key` the other's; `public_key` is
    the enrolling one as base64 text, whichever side computes.
    """
    shared = X25519PrivateKey.from_private_bytes(private_key).exchange(
        X25519PublicKey.from_public_bytes(peer_public_key)
    )
    message = _CONTEXT + b"\n".join(
        (str(challenge_id).encode(), base64.b64encode(nonce), public_key.encode())
    )
    return hmac.digest(shared, message, hashlib.sha256)


def is_proof(text: str, expected: bytes) -> bool:
    """Return whether the text is the expected proof, in constant time."""
    offered = decode_base64(text, length=PROOF_BYTES)
    return offered is not None and hmac.compare_digest(offered, expected)


def public_key_of(private_key: bytes) -> str:
    """Return the public half of an X25519 private key as base64."""
    public = X25519PrivateKey.from_private_bytes(private_key).public_key()
    return base64.b64encode(public.public_bytes_raw()).decode()
