"""Our tree agrees with the standard's and with other people's vectors."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from audit.tlog.merkle import (
    EMPTY_ROOT,
    CompactRange,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "merkle"
LEAVES = [leaf_hash(bytes([number])) for number in range(70)]

needs_vectors = pytest.mark.skipif(
    not VECTORS.is_dir(), reason="../shared/vectors is not here (a user's clone)"
)


def vectors(kind: str) -> list[Any]:
    files = sorted((VECTORS / "testdata" / kind).rglob("*.json"))
    return [
        pytest.param(
            json.loads(path.read_text(encoding="utf-8")),
            id=str(path.relative_to(VECTORS / "testdata" / kind)),
        )
        for path in files
    ]


def decoded(values: list[str] | None) -> list[bytes]:
    return [base64.b64decode(value) for value in values or ()]


def slow_root(leaves: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(slow_root(leaves[:split]), slow_root(leaves[split:]))


@needs_vectors
def test_all_vectors_are_there() -> None:
    assert (len(vectors("inclusion")), len(vectors("consistency"))) == (98, 98)


@needs_vectors
@pytest.mark.parametrize("vector", vectors("inclusion"))
def test_inclusion_vector(vector: dict[str, Any]) -> None:
    def verify() -> None:
        verify_inclusion(
            index=vector["leafIdx"],
            size=vector["treeSize"],
            leaf=base64.b64decode(vector["leafHash"] or ""),
            proof=decoded(vector["proof"]),
            expected=base64.b64decode(vector["root"] or ""),
        )

    if not vector["wantErr"]:
        verify()
        return
    with pytest.raises(ProofError):
        verify()


@needs_vectors
@pytest.mark.parametrize("vector", vectors("consistency"))
def test_consistency_vector(vector: dict[str, Any]) -> None:
    def verify() -> None:
        verify_consistency(
            old_size=vector["size1"],
            new_size=vector["size2"],
            old_root=base64.b64decode(vector["root1"] or ""),
            new_root=base64.b64decode(vector["root2"] or ""),
            proof=decoded(vector["proof"]),
        )

    if not vector["wantErr"]:
        verify()
        return
    with pytest.raises(ProofError):
        verify()


def test_a_leaf_never_passes_for_a_node() -> None:
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hash(b"\x01" + left + right) != node_hash(left, right)


@pytest.mark.parametrize("size", range(70))
def test_root_is_that_of_the_standard(size: int) -> None:
    assert root(LEAVES[:size]) == slow_root(LEAVES[:size])


@pytest.mark.parametrize("size", range(0, 70, 3))
def test_a_range_grows_as_if_it_had_held_every_leaf(size: int) -> None:
    start = CompactRange().append(LEAVES[:size])
    assert len(start.hashes) == size.bit_count()
    assert start.append(LEAVES[size:]).root() == slow_root(LEAVES)


@pytest.mark.parametrize(
    ("size", "hashes"),
    [(1, ()), (0, (b"x" * 32,)), (-1, ()), (1, (b"short",)), (3, (b"x" * 32,))],
)
def test_a_damaged_range_is_refused(size: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="hash"):
        CompactRange(size=size, hashes=hashes)


@pytest.mark.parametrize("size", [*range(1, 18), 33, 64, 70])
def test_every_leaf_is_proved_and_no_other_in_its_place(size: int) -> None:
    leaves, expected = LEAVES[:size], slow_root(LEAVES[:size])
    for index, leaf in enumerate(leaves):
        proof = inclusion_proof(leaves, index)
        verify_inclusion(
            index=index, size=size, leaf=leaf, proof=proof, expected=expected
        )
        for wrong_index, wrong_leaf in ((index, b"x" * 32), (index + 1, leaf)):
            with pytest.raises(ProofError):
                verify_inclusion(
                    index=wrong_index,
                    size=size,
                    leaf=wrong_leaf,
                    proof=proof,
                    expected=expected,
                )


@pytest.mark.parametrize("new", [*range(1, 18), 33, 64, 70])
def test_every_earlier_tree_is_continued(new: int) -> None:
    for old in range(1, new + 1):
        roots = {"old_root": root(LEAVES[:old]), "new_root": root(LEAVES[:new])}
        proof = consistency_proof(LEAVES[:new], old)
        verify_consistency(old_size=old, new_size=new, proof=proof, **roots)
        with pytest.raises(ProofError):
            verify_consistency(
                old_size=old, new_size=new, proof=[*proof, LEAVES[0]], **roots
            )
        roots["old_root"] = LEAVES[69]
        with pytest.raises(ProofError):
            verify_consistency(old_size=old, new_size=new, proof=proof, **roots)


@pytest.mark.parametrize("size", [0, 4])
def test_nothing_needs_to_be_proved_for_an_empty_or_equal_tree(size: int) -> None:
    assert consistency_proof(LEAVES[:4], size) == []


@pytest.mark.parametrize(("size", "index"), [(0, 0), (3, 3), (3, -1)])
def test_no_proof_for_a_leaf_that_is_not_there(size: int, index: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(LEAVES[:size], index)


@pytest.mark.parametrize("size", [-1, 4])
def test_no_proof_for_a_tree_that_never_was(size: int) -> None:
    with pytest.raises(ValueError, match="never had"):
        consistency_proof(LEAVES[:3], size)
