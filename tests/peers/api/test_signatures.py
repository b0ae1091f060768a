"""RFC 9421 in one profile. No database."""

from __future__ import annotations

import base64
from typing import Final

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from peers.api.signatures import (
    COMPONENTS,
    content_digest,
    parse_signature,
    parse_signature_input,
    signature_base,
)
from peers.errors import GatewayRequestError

COVERED: Final = " ".join(f'"{name}"' for name in COMPONENTS)
NONCE: Final = base64.b64encode(bytes(16)).decode()
PARAMETERS: Final = f';created=1795435200;keyid="gw_1";alg="ed25519";nonce="{NONCE}"'
FIELD: Final = f"peerage=({COVERED}){PARAMETERS}"
SIGNATURE: Final = base64.b64encode(bytes(64)).decode()


def test_the_published_ed25519_signature_verifies() -> None:
    """RFC 9421 appendix B.2.6 with the key test-key-ed25519 of B.1.4."""
    base = signature_base(
        (
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("@method", "POST"),
            ("@path", "/foo"),
            ("@authority", "example.com"),
            ("content-type", "application/json"),
            ("content-length", "18"),
        ),
        '("date" "@method" "@path" "@authority" "content-type" "content-length")'
        ';created=1618884473;keyid="test-key-ed25519"',
    )
    key = Ed25519PublicKey.from_public_bytes(
        base64.b64decode("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
    )
    signature = base64.b64decode(
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lI"
        "p5WPpBKRCw=="
    )
    key.verify(signature, base)
    with pytest.raises(InvalidSignature):
        key.verify(signature, base + b" ")


def test_the_published_digest_is_computed() -> None:
    """RFC 9421 appendix B.2 and RFC 9530 appendix D: SHA-256 of the example."""
    assert content_digest(b'{"hello": "world"}') == (
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    )


def test_the_profile_is_read() -> None:
    announced = parse_signature_input(FIELD)
    assert (announced.gateway_id, announced.created) == (1, 1795435200)
    assert announced.params == FIELD.removeprefix("peerage=")


def test_parameters_may_come_in_any_order() -> None:
    field = f'peerage=({COVERED});nonce="{NONCE}";alg="ed25519";keyid="gw_7";created=1'
    assert parse_signature_input(field).gateway_id == 7


@pytest.mark.parametrize(
    "field",
    [
        pytest.param("", id="absent"),
        pytest.param("peerage", id="no value"),
        pytest.param(FIELD.replace("peerage=", "sig1="), id="another label"),
        pytest.param(f"{FIELD}, {FIELD}", id="two signatures"),
        pytest.param(f"{FIELD}, sig1=();created=1", id="a second label"),
        pytest.param(f" {FIELD}", id="blank before"),
        pytest.param(FIELD.replace("; ", ";").replace(";c", "; c"), id="blank"),
        pytest.param(FIELD.replace('"@query" ', ""), id="component missing"),
        pytest.param(FIELD.replace("(", '("date" '), id="component too many"),
        pytest.param(
            FIELD.replace('"@method" "@authority"', '"@authority" "@method"'),
            id="another order",
        ),
        pytest.param(FIELD.replace('"@path"', '"@path";req'), id="component's flag"),
        pytest.param(FIELD.replace('"@path"', '"@target-uri"'), id="other component"),
        pytest.param(FIELD.replace(";created=1795435200", ""), id="no created"),
        pytest.param(FIELD.replace(f';nonce="{NONCE}"', ""), id="no nonce"),
        pytest.param(FIELD.replace(';alg="ed25519"', ""), id="no algorithm"),
        pytest.param(FIELD.replace(';keyid="gw_1"', ""), id="no key id"),
        pytest.param(f'{FIELD};tag="x"', id="unknown parameter"),
        pytest.param(f"{FIELD};expires=1", id="expires"),
        pytest.param(f"{FIELD};created=1", id="created twice"),
        pytest.param(FIELD.replace('"ed25519"', '"hmac-sha256"'), id="algorithm"),
        pytest.param(FIELD.replace(NONCE, "AAAA"), id="short nonce"),
        pytest.param(FIELD.replace("1795435200", '"1795435200"'), id="created a text"),
        pytest.param(FIELD.replace("1795435200", "-1"), id="negative created"),
        pytest.param(FIELD.replace("1795435200", "1.5"), id="decimal created"),
        pytest.param(FIELD.replace("gw_1", "gw_0"), id="gateway 0"),
        pytest.param(FIELD.replace("gw_1", "gw_01"), id="leading zero"),
        pytest.param(FIELD.replace("gw_1", "dv_1"), id="not a gateway"),
        pytest.param(FIELD.replace("gw_1", "gw_1\\"), id="escape"),
        pytest.param(FIELD.replace('"gw_1"', "1"), id="key id a number"),
        pytest.param(FIELD + "\n", id="line feed"),
    ],
)
def test_anything_but_the_profile_is_refused(field: str) -> None:
    with pytest.raises(GatewayRequestError):
        parse_signature_input(field)


def test_one_signature_of_64_bytes_is_read() -> None:
    assert parse_signature(f"peerage=:{SIGNATURE}:") == bytes(64)


@pytest.mark.parametrize(
    "field",
    [
        "",
        SIGNATURE,
        f"sig1=:{SIGNATURE}:",
        f"peerage=:{SIGNATURE[:-4]}:",
        f"peerage=:{SIGNATURE}:, peerage=:{SIGNATURE}:",
        f"peerage=:{SIGNATURE}:;x",
    ],
)
def test_anything_but_one_signature_is_refused(field: str) -> None:
    with pytest.raises(GatewayRequestError):
        parse_signature(field)
