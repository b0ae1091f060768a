"""Cosignatures of witnesses (C2SP tlog-cosignature, `cosignature/v1` with Ed25519).

A witness says: at this time this was the largest tree of this log I had seen, and
it continued every one I saw before. The time is in the signature. What is signed is
not a note's text but that text under two lines of its own, so that a cosignature
never passes for the signature of a log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from audit.tlog.note import NoteError, NoteSignature, VerifierKey, parse_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

COSIGNATURE: Final = b"\x04"
TIME_LENGTH: Final = 8
SIGNATURE_LENGTH: Final = 64
MAX_TIME: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessKey(VerifierKey):
    """The name and public key of a witness."""

    kind: ClassVar[bytes] = COSIGNATURE

    def verify(self, text: str, signature: bytes) -> None:
        """Accept a cosignature of a checkpoint's text.

        Raises:
            NoteError: it is not one of this key.
        """
        # Not super(): a dataclass with slots is made twice.
        VerifierKey.verify(
            self, _signed_text(text, cosigned_at(signature)), signature[TIME_LENGTH:]
        )


def parse_witness_key(text: str) -> WitnessKey:
    """Read `name+id+base64` of a witness."""
    return parse_key(text, WitnessKey)


def cosign(text: str, *, name: str, key: Ed25519PrivateKey, at: int) -> NoteSignature:
    """Return a witness's line under a checkpoint's text; `at` in POSIX seconds.

    It is the witness's duty to have verified log and consistency before.
    """
    witness = WitnessKey(name=name, public_key=key.public_key().public_bytes_raw())
    signature = key.sign(_signed_text(text, at).encode())
    return NoteSignature(
        name=name,
        key_id=witness.key_id,
        signature=at.to_bytes(TIME_LENGTH) + signature,
    )


def cosigned_at(signature: bytes) -> int:
    """Return when a cosignature was made, in POSIX seconds."""
    if len(signature) != TIME_LENGTH + SIGNATURE_LENGTH:
        raise NoteError("a cosignature is a time and an Ed25519 signature")
    return int.from_bytes(signature[:TIME_LENGTH])


def _signed_text(text: str, at: int) -> str:
    if not 0 <= at <= MAX_TIME:
        raise NoteError(f"no cosignature is made at {at}")
    return f"cosignature/v1\ntime {at}\n{text}"
