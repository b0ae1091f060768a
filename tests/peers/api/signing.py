"""A gateway's side of signed requests, written from the RFC, not from the portal."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from tests.peers.makers import NOW

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NONCE: Final = base64.b64encode(bytes(range(16))).decode()


@dataclass(frozen=True, kw_only=True)
class SignedRequest:
    """What is sent, and what is said of it in the signature.

    `claims` replaces what is signed, `headers` what is sent after signing: the two
    ways in which a request may lie.
    """

    key: Ed25519PrivateKey
    keyid: str
    method: str = "POST"
    path: str = "/api/gateway/v1/acks"
    query: str = ""
    body: bytes = b'{"epoch":1}'
    sequence: str = "1"
    created: int = int(NOW.timestamp())
    alg: str = "ed25519"
    claims: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def but(self, **changed: Any) -> SignedRequest:  # noqa: ANN401 -- any field
        """Return the same request with something changed, signed anew."""
        return replace(self, **changed)

    def fields(self) -> dict[str, str]:
        """Return the header fields, by their names in a Django test request."""
        digest = base64.b64encode(hashlib.sha256(self.body).digest()).decode()
        components = {
            "@method": self.method,
            "@authority": "testserver",
            "@path": self.path,
            "@query": f"?{self.query}",
            "content-digest": f"sha-256=:{digest}:",
            "peerage-sequence": self.sequence,
        } | self.claims
        covered = " ".join(f'"{name}"' for name in components)
        params = (
            f"({covered});created={self.created}"
            f';keyid="{self.keyid}";alg="{self.alg}";nonce="{NONCE}"'
        )
        lines = [f'"{name}": {value}' for name, value in components.items()]
        base = "\n".join([*lines, f'"@signature-params": {params}'])
        signature = base64.b64encode(self.key.sign(base.encode())).decode()
        return {
            "Content-Digest": components["content-digest"],
            "Peerage-Sequence": components["peerage-sequence"],
            "Signature-Input": f"peerage={params}",
            "Signature": f"peerage=:{signature}:",
        } | self.headers
