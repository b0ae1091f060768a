"""A gateway's agent that signs its requests to Django's test client."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import AsyncClient, Client

from gateway.signing import Request, signed_headers
from peers.models import Gateway

BASE = "http://testserver/api/gateway/v1"


class SigningAgent:
    """Holds the private key of a gateway's row and counts its requests.

    Its clock is `ahead` by so many seconds.
    """

    def __init__(self, gateway: Gateway) -> None:
        """Give the row a key of this agent's."""
        self.gateway = gateway
        self.key = Ed25519PrivateKey.generate()
        self.sequence = 0
        self.ahead = 0
        gateway.signing_key = self.key.public_key().public_bytes_raw()
        gateway.save(update_fields=["signing_key"])

    def headers(self, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        """Return the headers of the next request, as the real agent signs it."""
        return self.headers_for(method, f"{BASE}/{path}", body)

    def headers_for(self, method: str, url: str, body: bytes = b"") -> dict[str, str]:
        """Return the headers of a request to any address."""
        self.sequence += 1
        return signed_headers(
            Request(method=method, url=url, body=body),
            key=self.key,
            keyid=self.gateway.ref.id,
            sequence=self.sequence,
            created=int(datetime.now(UTC).timestamp()) + self.ahead,  # noqa: TID251 -- a test's edge
            nonce=os.urandom(16),
        )

    def get(self, path: str, **changed: str) -> Any:  # noqa: ANN401 -- the client's answers are untyped
        """Ask and return the answer."""
        headers = {**self.headers("GET", path), **changed}
        return Client().get(f"/api/gateway/v1/{path}", headers=headers)

    async def poll(self, path: str) -> Any:  # noqa: ANN401 -- the client's answers are untyped
        """Ask asynchronously and return the answer."""
        headers = self.headers("GET", path)
        return await AsyncClient().get(f"/api/gateway/v1/{path}", headers=headers)

    def post(self, path: str, document: object, **changed: str) -> Any:  # noqa: ANN401 -- the client's answers are untyped
        """Send JSON and return the answer."""
        return self.post_bytes(path, json.dumps(document).encode(), **changed)

    def post_bytes(self, path: str, body: bytes, **changed: str) -> Any:  # noqa: ANN401 -- the client's answers are untyped
        """Send a body and return the answer."""
        headers = {**self.headers("POST", path, body), **changed}
        return Client().post(
            f"/api/gateway/v1/{path}",
            body,
            content_type="application/json",
            headers=headers,
        )
