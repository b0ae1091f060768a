"""Public keys as text. No database."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from audit.tlog.ed25519 import FIELD_PRIME, SMALL_ORDER
from peers.errors import InvalidKeyError
from peers.keys import (
    LOW_ORDER,
    decode_base64,
    fingerprint,
    parse_public_key,
    parse_signing_key,
)

VECTORS: Final = (
    Path(__file__).parents[3]
    / "shared/vectors/wycheproof/testvectors_v1/x25519_test.json"
)
KEY: Final = base64.b64encode(bytes(range(1, 33))).decode()


def text(number: int) -> str:
    """Return a coordinate as base64."""
    return base64.b64encode(number.to_bytes(32, "little")).decode()


def wycheproof() -> list[dict[str, Any]]:
    """Return the published X25519 cases."""
    if not VECTORS.exists():
        pytest.skip("the vectors of other projects (shared/vectors) are not here")
    groups = json.loads(VECTORS.read_text())["testGroups"]
    return [case for group in groups for case in group["tests"]]


def test_a_generated_key_is_accepted() -> None:
    raw = X25519PrivateKey.generate().public_key().public_bytes_raw()
    assert parse_public_key(base64.b64encode(raw).decode()) == raw


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param(KEY[:-1], id="without padding"),
        pytest.param(KEY + "=", id="too much padding"),
        pytest.param(f" {KEY}", id="blank before"),
        pytest.param(f"{KEY}\n", id="line feed after"),
        pytest.param(KEY[:20] + "\n" + KEY[20:], id="line feed inside"),
        pytest.param(base64.b64encode(bytes(31)).decode(), id="31 bytes"),
        pytest.param(base64.b64encode(bytes(33)).decode(), id="33 bytes"),
        pytest.param(
            base64.urlsafe_b64encode(b"\xff" * 31 + b"\x0f").decode(), id="URL"
        ),
        pytest.param(KEY[:-2] + "B=", id="trailing bits"),
        pytest.param("ключ" * 11, id="not ASCII"),
        pytest.param(bytes(range(1, 33)).hex(), id="hexadecimal"),
    ],
)
def test_malformed_base64_is_refused(key: str) -> None:
    with pytest.raises(InvalidKeyError):
        parse_public_key(key)
    with pytest.raises(InvalidKeyError):
        parse_signing_key(key)


def test_the_bit_255_twin_of_a_key_is_refused() -> None:
    raw = bytearray(X25519PrivateKey.generate().public_key().public_bytes_raw())
    raw[31] |= 0x80
    with pytest.raises(InvalidKeyError, match="not canonical"):
        parse_public_key(base64.b64encode(raw).decode())


@pytest.mark.parametrize("number", [FIELD_PRIME, FIELD_PRIME + 9, 2**255 - 1])
def test_a_coordinate_beyond_the_prime_is_refused(number: int) -> None:
    with pytest.raises(InvalidKeyError, match="not canonical"):
        parse_public_key(text(number))
    with pytest.raises(InvalidKeyError, match="not canonical"):
        parse_signing_key(text(number))


@pytest.mark.parametrize("number", sorted(LOW_ORDER))
def test_a_low_order_point_is_refused(number: int) -> None:
    with pytest.raises(InvalidKeyError, match="low order"):
        parse_public_key(text(number))


def test_every_published_low_order_key_is_refused() -> None:
    weak = [case for case in wycheproof() if "LowOrderPublic" in case["flags"]]
    assert len({case["public"] for case in weak}) >= 14
    for case in weak:
        key = base64.b64encode(bytes.fromhex(case["public"])).decode()
        with pytest.raises(InvalidKeyError):
            parse_public_key(key)


def test_every_published_canonical_key_of_full_order_is_accepted() -> None:
    flags = {"LowOrderPublic", "NonCanonicalPublic", "ZeroSharedSecret"}
    for case in wycheproof():
        raw = bytes.fromhex(case["public"])
        if not flags & set(case["flags"]) and raw[31] < 0x80:
            assert parse_public_key(base64.b64encode(raw).decode()) == raw


def test_a_generated_signing_key_is_accepted() -> None:
    raw = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    assert parse_signing_key(base64.b64encode(raw).decode()) == raw


def doubled(y: int) -> int:
    """Return y of 2·P on edwards25519 for P = (x, y), from the curve equation."""
    d = -121665 * pow(121666, -1, FIELD_PRIME) % FIELD_PRIME
    x2 = (y * y - 1) * pow(d * y * y + 1, -1, FIELD_PRIME) % FIELD_PRIME
    # 1 - d·x²·y² over 1 is what the addition law divides y² + x² by.
    below = pow(1 - d * x2 * y * y, -1, FIELD_PRIME)
    return (y * y + x2) * below % FIELD_PRIME


def test_the_small_order_points_are_those_that_vanish_when_doubled_thrice() -> None:
    assert len(SMALL_ORDER) == 5
    for y in SMALL_ORDER:
        assert doubled(doubled(doubled(y))) == 1


@pytest.mark.parametrize("sign", [0, 1 << 255])
@pytest.mark.parametrize("number", sorted(SMALL_ORDER))
def test_a_small_order_signing_key_is_refused(number: int, sign: int) -> None:
    with pytest.raises(InvalidKeyError, match="small order"):
        parse_signing_key(text(number | sign))


def test_decoding_answers_none_for_another_length() -> None:
    assert decode_base64(KEY, length=32) == bytes(range(1, 33))
    assert decode_base64(KEY, length=16) is None


def test_a_fingerprint_is_of_the_bytes() -> None:
    assert fingerprint(base64.b64encode(bytes(32)).decode()) == (
        "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"
    )
