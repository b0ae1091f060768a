"""A log in memory whose owner may be honest or not."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.tlog.merkle import consistency_proof, leaf_hash, root
from audit.tlog.note import Checkpoint, VerifierKey, sign_note
from audit.tlog.witnessing import request_text

ORIGIN = "audit.test/control"


@dataclass(slots=True)
class MemoryLog:
    """Leaves, and the key that signs for them."""

    origin: str = ORIGIN
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    hashes: list[bytes] = field(default_factory=list)

    @property
    def verifier(self) -> VerifierKey:
        """Return the public half."""
        public = self.key.public_key().public_bytes_raw()
        return VerifierKey(name=self.origin, public_key=public)

    def add(self, *leaves: bytes) -> None:
        """Append leaves."""
        self.hashes += map(leaf_hash, leaves)

    def note(self) -> str:
        """Return the signed head."""
        said = Checkpoint(
            origin=self.origin, size=len(self.hashes), root=root(self.hashes)
        )
        return str(sign_note(said.text(), name=self.origin, key=self.key))

    def request(self, old: int) -> bytes:
        """Return a request that proves the head from a size."""
        proof = consistency_proof(self.hashes, old) if old else []
        return request_text(old, proof, self.note())
