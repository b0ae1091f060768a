"""Public keys as text: one form, no twins, no weak points. Pure.

The rules for Curve25519 (attacks B05-B07): standard base64 with padding whose
re-encoding is the same text; 32 bytes; the u-coordinate below p = 2^255 - 19
(RFC 7748 §5 masks bit 255 and reduces, so any other spelling is a twin of another
key); none of the low-order points, whose shared secret is all zeros for everybody
(RFC 7748 §6.1).

The rules for Ed25519 (attack G13): the same base64; the y-coordinate below p; none
of the small-order points, under which one signature fits many messages.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

from audit.tlog.ed25519 import FIELD_PRIME, weakness
from peers.errors import InvalidKeyError

KEY_BYTES: Final = 32

# The u-coordinates of the points whose order divides 8, on the curve and on its
# twist, below p. Every other spelling of them is refused as not canonical.
LOW_ORDER: Final = frozenset(
    {
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        FIELD_PRIME - 1,
    }
)


def parse_public_key(text: str) -> bytes:
    """Return the 32 bytes of a Curve25519 public key in canonical base64.

    Raises:
        InvalidKeyError: not canonical base64 of 32 bytes, not a canonical field
            element, or a point of low order.
    """
    raw = _key_bytes(text)
    coordinate = int.from_bytes(raw, "little")
    if coordinate >= FIELD_PRIME:
        msg = "the public key is another spelling of a key (not canonical)"
        raise InvalidKeyError(msg)
    if coordinate in LOW_ORDER:
        msg = "the public key is a point of low order; make a new key"
        raise InvalidKeyError(msg)
    return raw


def parse_signing_key(text: str) -> bytes:
    """Return the 32 bytes of an Ed25519 public key in canonical base64.

    Raises:
        InvalidKeyError: not canonical base64 of 32 bytes, not a canonical field
            element, or a point of small order.
    """
    raw = _key_bytes(text)
    if weak := weakness(raw):
        msg = f"the signing key is {weak}; make a new key"
        raise InvalidKeyError(msg)
    return raw


def decode_base64(text: str, *, length: int) -> bytes | None:
    """Return the bytes of canonical standard base64 of that length, else None."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    if len(raw) != length or base64.b64encode(raw).decode() != text:
        return None
    return raw


def fingerprint(public_key: str) -> str:
    """Return the SHA-256 of the key's 32 bytes, lower-case hex, 64 characters."""
    return hashlib.sha256(base64.b64decode(public_key)).hexdigest()


def _key_bytes(text: str) -> bytes:
    raw = decode_base64(text, length=KEY_BYTES)
    if raw is None:
        msg = "a public key is 32 bytes in standard base64 with padding"
        raise InvalidKeyError(msg)
    return raw
