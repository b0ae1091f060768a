"""Signed requests: the RFC 9421 profile of the gateway API. Pure.

* Covered, in this order: @method @authority @path @query content-digest
  peerage-sequence. Nothing may be left out, so nothing can be moved to another
  path, host or body.
* Parameters: created, keyid, alg ("ed25519"), nonce (16 random bytes).
* Every request carries a Content-Digest (RFC 9530), also one without a body.

No clock and no randomness here: `created` and `nonce` are arguments.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

LABEL: Final = "peerage"
ALGORITHM: Final = "ed25519"
DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is signed: a method, an absolute URL and a body."""

    method: str
    url: str
    body: bytes

    @property
    def authority(self) -> str:
        """The host in lower case, with the port unless it is the scheme's own."""
        parts = urlsplit(self.url)
        host = (parts.hostname or "").lower()
        host = f"[{host}]" if ":" in host else host
        if parts.port in {None, DEFAULT_PORTS.get(parts.scheme)}:
            return host
        return f"{host}:{parts.port}"

    @property
    def target(self) -> str:
        """Path and query as they stand on the request line."""
        parts = urlsplit(self.url)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


def signed_headers(
    request: Request,
    *,
    key: Ed25519PrivateKey,
    keyid: str,
    sequence: int,
    created: int,
    nonce: bytes,
) -> dict[str, str]:
    """Return the four header fields that make `request` a signed one."""
    digest = content_digest(request.body)
    parts = urlsplit(request.url)
    components = (
        ("@method", request.method),
        ("@authority", request.authority),
        ("@path", parts.path),
        ("@query", f"?{parts.query}"),
        ("content-digest", digest),
        ("peerage-sequence", str(sequence)),
    )
    params = signature_params(
        [name for name, _ in components],
        [
            ("created", created),
            ("keyid", keyid),
            ("alg", ALGORITHM),
            ("nonce", base64.b64encode(nonce).decode("ascii")),
        ],
    )
    signature = key.sign(signature_base(components, params))
    return {
        "Content-Digest": digest,
        "Peerage-Sequence": str(sequence),
        "Signature-Input": f"{LABEL}={params}",
        "Signature": f"{LABEL}=:{base64.b64encode(signature).decode('ascii')}:",
    }


def content_digest(body: bytes) -> str:
    """Return the Content-Digest field of `body` (RFC 9530 §2)."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")
    return f"sha-256=:{digest}:"


def signature_params(
    names: Sequence[str], pairs: Sequence[tuple[str, int | str]]
) -> str:
    """Return the inner list with parameters that is itself signed (RFC 9421 §2.3)."""
    covered = " ".join(f'"{name}"' for name in names)
    params = "".join(
        f";{name}={value}" if isinstance(value, int) else f';{name}="{value}"'
        for name, value in pairs
    )
    return f"({covered}){params}"


def signature_base(components: Sequence[tuple[str, str]], params: str) -> bytes:
    """Return the bytes that are signed (RFC 9421 §2.5)."""
    lines = [f'"{name}": {value}' for name, value in components]
    lines.append(f'"@signature-params": {params}')
    return "\n".join(lines).encode("ascii")
