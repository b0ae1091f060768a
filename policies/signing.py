"""DSSE signatures with the portal's Ed25519 key (DESIGN §8).

The key is a file of 32 random bytes in base64 that its owner alone may read. It is
read at every use: a key that was replaced takes effect at once, and one that became
readable by others stops signing at once. Nothing here logs or returns the seed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from django.conf import settings

from policies.compiler.envelope import envelope, open_envelope, pae
from policies.errors import SigningKeyError, SnapshotError

SEED_BYTES: Final = 32
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


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


def create_key_file(path: Path) -> bool:
    """Write a new key, readable by its owner alone; return False if one is there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(SEED_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def _private_key() -> Ed25519PrivateKey:
    return _key_of(_seed(Path(settings.PEERAGE_SIGNING_KEY_FILE)))


@lru_cache(maxsize=1)
def _key_of(seed: bytes) -> Ed25519PrivateKey:
    # Derived once: that takes as long as signing does.
    return Ed25519PrivateKey.from_private_bytes(seed)


def _seed(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # Of the open file, so that nobody exchanges it between look and read.
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(1024)
    except FileNotFoundError as exc:
        msg = f"there is no signing key at {path}; run manage.py init_keys"
        raise SigningKeyError(msg) from exc
    except OSError as exc:
        msg = f"the signing key at {path} cannot be read: {exc.strerror}"
        raise SigningKeyError(msg) from exc
    if mode & OTHERS:
        msg = f"others may read the signing key at {path}; run chmod 600 {path}"
        raise SigningKeyError(msg)
    try:
        seed = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as exc:
        msg = f"the signing key at {path} is not base64"
        raise SigningKeyError(msg) from exc
    if len(seed) != SEED_BYTES:
        msg = f"the signing key at {path} has {len(seed)} bytes, not {SEED_BYTES}"
        raise SigningKeyError(msg)
    return seed
