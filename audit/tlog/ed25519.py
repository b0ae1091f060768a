"""Ed25519 as this house verifies it: one library, no twins of keys, no weak ones.

Libraries differ on the edge cases (attack G13), so every signature of a log or a
witness is judged here. Under a public key of small order one signature fits many
messages; a y-coordinate above the prime is another spelling of a key.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY_LENGTH: Final = 32
FIELD_PRIME: Final = 2**255 - 19
# The y-coordinates of the eight torsion points of edwards25519 (RFC 8032 §5.1);
# the sign of x does not matter.
_ORDER_EIGHT_Y: Final = (
    2707385501144840649318225287225658788936804267575313519463743609750303402022
)
SMALL_ORDER: Final = frozenset(
    {0, 1, FIELD_PRIME - 1, _ORDER_EIGHT_Y, FIELD_PRIME - _ORDER_EIGHT_Y}
)


def weakness(public_key: bytes) -> str:
    """Return why 32 bytes are no key to believe, or nothing."""
    if len(public_key) != KEY_LENGTH:
        return f"an Ed25519 public key has {KEY_LENGTH} bytes"
    coordinate = int.from_bytes(public_key, "little") & ~(1 << 255)
    if coordinate >= FIELD_PRIME:
        return "another spelling of a key (not canonical)"
    if coordinate in SMALL_ORDER:
        return "a point of small order"
    return ""


def is_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether the holder of the key signed the message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True
