"""The device's own key. It is made here and leaves this machine in no form."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

CONTEXT: Final = b"peerage enrolment v1\n"


def make_key() -> X25519PrivateKey:
    """Return a new key."""
    return X25519PrivateKey.generate()


def private_text(key: X25519PrivateKey) -> str:
    """Return the private key as wg(8) writes it."""
    return base64.b64encode(key.private_bytes_raw()).decode()


def public_text(key: X25519PrivateKey) -> str:
    """Return the public key as wg(8) writes it."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def public_of(private: str) -> str:
    """Return the public key that belongs to a private key's text."""
    return public_text(X25519PrivateKey.from_private_bytes(base64.b64decode(private)))


def fingerprint(public: str) -> str:
    """Return the SHA-256 of a public key, as the portal shows it."""
    return hashlib.sha256(base64.b64decode(public)).hexdigest()


def possession_proof(
    key: X25519PrivateKey, *, challenge: str, nonce: str, portal_key: str
) -> str:
    """Prove that we hold the key, without showing it.

    Only the holders of one of the two private keys can compute the shared secret:
    the portal, which made its half for this challenge, and us.
    """
    shared = key.exchange(
        X25519PublicKey.from_public_bytes(base64.b64decode(portal_key))
    )
    message = CONTEXT + f"{challenge}\n{nonce}\n{public_text(key)}".encode()
    return base64.b64encode(hmac.digest(shared, message, "sha256")).decode()
