"""DSSE signatures with the portal's Ed25519 key (DESIGN §8).

The key is a file of 32 random bytes in base64 that its owner alone may read. It is
read at every use: a key that was replaced takes effect at once, and one that became
readable by others stops signing at once. Nothing here logs or returns the seed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from django.conf import settings

from audit.key_files import KeyFileError, read_seed
from policies.compiler.envelope import envelope, open_envelope, pae
from policies.errors import SigningKeyError, SnapshotError


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """What a gateway pins: the public key (32 bytes) and its id."""

    keyid: str
    public_key: bytes


def key_id(public_key: bytes) -> str:
    """Return the id of a public key: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def verification_key() -> VerificationKey:
    """Return the public half of the signing key.

    Raises:
        SigningKeyError: the key file is absent, malformed, or readable by others.
    """
    public_key = _private_key().public_key().public_bytes_raw()
    return VerificationKey(keyid=key_id(public_key), public_key=public_key)


def sign(payload_type: str, payload: bytes) -> bytes:
    """Return the DSSE envelope of a payload.

    Raises:
        SigningKeyError: the key file is absent, malformed, or readable by others.
    """
    key = _private_key()
    keyid = key_id(key.public_key().public_bytes_raw())
    return envelope(
        payload_type, payload, [(keyid, key.sign(pae(payload_type, payload)))]
    )


def verified_payload(text: bytes, *, payload_type: str, public_key: bytes) -> bytes:
    """Return the payload of an envelope that `public_key` signed as `payload_type`.

    Raises:
        SnapshotError: another type, no signature by this key, or a wrong one.
    """
    opened = open_envelope(text)
    if opened.payload_type != payload_type:
        msg = f"the envelope holds {opened.payload_type}, not {payload_type}"
        raise SnapshotError(msg)
    for keyid, signature in opened.signatures:
        if keyid == key_id(public_key):
            try:
                Ed25519PublicKey.from_public_bytes(public_key).verify(
                    signature, pae(payload_type, opened.payload)
                )
            except InvalidSignature as exc:
                msg = "the signature is wrong"
                raise SnapshotError(msg) from exc
            return opened.payload
    msg = f"no signature by {key_id(public_key)}"
    raise SnapshotError(msg)


def _private_key() -> Ed25519PrivateKey:
    try:
        seed = read_seed(Path(settings.PEERAGE_SIGNING_KEY_FILE))
    except KeyFileError as exc:
        raise SigningKeyError(str(exc)) from exc
    return _key_of(seed)


@lru_cache(maxsize=1)
def _key_of(seed: bytes) -> Ed25519PrivateKey:
    # Derived once: that takes as long as signing does.
    return Ed25519PrivateKey.from_private_bytes(seed)
