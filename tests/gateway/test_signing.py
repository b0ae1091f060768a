"""Signed requests: the RFC's own vector, an independent verifier, nothing uncovered."""

from __future__ import annotations

import base64
import dataclasses
from datetime import timedelta

import http_message_signatures
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver

from gateway.signing import (
    Request,
    content_digest,
    signature_base,
    signature_params,
    signed_headers,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
REQUEST = Request(
    method="GET",
    url="https://portal.example/api/gateway/v1/snapshot?after=0&epoch=1",
    body=b"",
)
COVERED = (
    "@method",
    "@authority",
    "@path",
    "@query",
    "content-digest",
    "peerage-sequence",
)


class Resolver(HTTPSignatureKeyResolver):
    """Knows one key."""

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        """Return it."""
        assert key_id == "gw_1"
        return KEY.public_key()


@dataclasses.dataclass
class Message:
    """What the verifier reads."""

    method: str
    url: str
    headers: dict[str, str]


def message(request: Request = REQUEST, *, sequence: int = 3) -> Message:
    """Return a signed message."""
    headers = signed_headers(
        request,
        key=KEY,
        keyid="gw_1",
        sequence=sequence,
        created=4_000_000_000,
        nonce=bytes(16),
    )
    return Message(method=request.method, url=request.url, headers=headers)


def is_valid(received: Message) -> bool:
    """Ask an implementation that is not ours."""
    verifier = HTTPMessageVerifier(
        signature_algorithm=http_message_signatures.algorithms.ED25519,
        key_resolver=Resolver(),
    )
    verifier.max_clock_skew = timedelta(days=36_500)
    try:
        results = verifier.verify(
            received, max_age=None, require_components=COVERED, body=b""
        )
    except http_message_signatures.exceptions.InvalidSignature:
        return False
    return len(results) == 1


def test_known_answer_of_rfc_9421_b_2_6() -> None:
    key = Ed25519PrivateKey.from_private_bytes(
        base64.b64decode("n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=")
    )
    components = (
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("@method", "POST"),
        ("@path", "/foo"),
        ("@authority", "example.com"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    )
    params = signature_params(
        [name for name, _ in components],
        [("created", 1618884473), ("keyid", "test-key-ed25519")],
    )
    assert base64.b64encode(key.sign(signature_base(components, params))) == (
        b"wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9"
        b"EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
    )


def test_another_implementation_verifies_our_requests() -> None:
    assert is_valid(message())


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("method", "POST"),
        ("url", "https://other.example/api/gateway/v1/snapshot?after=0&epoch=1"),
        ("url", "https://portal.example/api/gateway/v1/acks?after=0&epoch=1"),
        ("url", "https://portal.example/api/gateway/v1/snapshot?after=9&epoch=1"),
    ],
    ids=["method", "authority", "path", "query"],
)
def test_what_is_covered_cannot_be_changed(attribute: str, value: str) -> None:
    received = message()
    setattr(received, attribute, value)
    assert not is_valid(received)


@pytest.mark.parametrize("name", ["Content-Digest", "Peerage-Sequence"])
def test_a_covered_field_cannot_be_changed(name: str) -> None:
    received = message()
    received.headers[name] = message(
        dataclasses.replace(REQUEST, body=b"{}"), sequence=4
    ).headers[name]
    assert not is_valid(received)


def test_the_signature_input_is_the_profile_to_the_letter() -> None:
    assert message().headers["Signature-Input"] == (
        'peerage=("@method" "@authority" "@path" "@query" "content-digest"'
        ' "peerage-sequence");created=4000000000;keyid="gw_1";alg="ed25519"'
        ';nonce="AAAAAAAAAAAAAAAAAAAAAA=="'
    )


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://Portal.Example/x", "portal.example"),
        ("https://portal.example:443/x", "portal.example"),
        ("http://portal.example:80/x", "portal.example"),
        ("https://portal.example:8443/x", "portal.example:8443"),
        ("http://[::1]:8000/x", "[::1]:8000"),
    ],
)
def test_the_authority_is_normalised(url: str, authority: str) -> None:
    assert Request(method="GET", url=url, body=b"").authority == authority


def test_an_empty_query_is_signed_as_a_question_mark() -> None:
    request = Request(method="POST", url="https://portal.example/acks", body=b"{}")
    assert request.target == "/acks"
    assert is_valid(message(dataclasses.replace(request, body=b"")))


def test_the_digest_of_no_body_is_the_digest_of_nothing() -> None:
    assert content_digest(b"") == (
        "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
    )
