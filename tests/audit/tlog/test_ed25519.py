"""Signatures and keys at the edges (attack G13): Wycheproof, and weak points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.tlog.cosignature import WitnessKey
from audit.tlog.ed25519 import FIELD_PRIME, SMALL_ORDER, is_signature, weakness
from audit.tlog.note import NoteError, VerifierKey

VECTORS = (
    Path(__file__).resolve().parents[4]
    / "shared/vectors/wycheproof/testvectors_v1/ed25519_test.json"
)

needs_vectors = pytest.mark.skipif(
    not VECTORS.is_file(), reason="../shared/vectors is not here (a user's clone)"
)


def vectors() -> list[Any]:
    if not VECTORS.is_file():
        return []
    return [
        pytest.param(group["publicKey"]["pk"], test, id=f"tc{test['tcId']}")
        for group in json.loads(VECTORS.read_text(encoding="utf-8"))["testGroups"]
        for test in group["tests"]
    ]


@needs_vectors
def test_all_vectors_are_there() -> None:
    assert len(vectors()) == 151


@needs_vectors
@pytest.mark.parametrize(("key", "vector"), vectors())
def test_g13_signature_is_judged_as_wycheproof_says(
    key: str, vector: dict[str, Any]
) -> None:
    answer = is_signature(
        bytes.fromhex(key), bytes.fromhex(vector["msg"]), bytes.fromhex(vector["sig"])
    )
    assert answer == (vector["result"] == "valid")


@needs_vectors
@pytest.mark.parametrize("key", sorted({vector.values[0] for vector in vectors()}))
def test_no_key_of_wycheproof_is_taken_for_weak(key: str) -> None:
    assert weakness(bytes.fromhex(key)) == ""


@pytest.mark.parametrize("kind", [VerifierKey, WitnessKey])
@pytest.mark.parametrize("sign", [0, 1 << 255])
@pytest.mark.parametrize("y", sorted(SMALL_ORDER))
def test_g13_point_of_small_order_is_no_key_of_a_log(
    kind: type[VerifierKey], sign: int, y: int
) -> None:
    with pytest.raises(NoteError, match="small order"):
        kind(name="n", public_key=(y | sign).to_bytes(32, "little"))


@pytest.mark.parametrize("y", [FIELD_PRIME, FIELD_PRIME + 1, 2**255 - 1])
def test_g13_another_spelling_of_a_point_is_no_key_of_a_log(y: int) -> None:
    with pytest.raises(NoteError, match="spelling"):
        VerifierKey(name="n", public_key=y.to_bytes(32, "little"))


def test_g13_a_weak_key_would_take_one_signature_for_many_messages() -> None:
    weak, forged = (1).to_bytes(32, "little"), (1).to_bytes(32, "little") + bytes(32)
    assert is_signature(weak, b"one", forged)
    assert is_signature(weak, b"another", forged)
