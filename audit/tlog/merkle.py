"""The Merkle tree of RFC 6962: hashes, proofs, and a tree that grows.

Names follow RFC 9162 §2.1, which states the iterative verification used here. A
tree is never held: `CompactRange` keeps the at most 64 hashes that stand for all
leaves so far; proofs are made from the leaf hashes. Verifiers take bytes from
strangers and answer by raising `ProofError`, never by a wrong result.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HASH_LENGTH: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


class ProofError(ValueError):
    """A proof does not prove what it is offered for."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf: the prefix keeps it from passing for a node."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactRange:
    """All leaves so far, as the roots of their complete subtrees, largest first.

    There is one hash for each bit that is set in `size`, so never more than 64.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no tree can have, for instance from a damaged state file."""
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError(f"{len(self.hashes)} hashes cannot stand for {self.size}")
        if any(len(value) != HASH_LENGTH for value in self.hashes):
            raise ValueError("a hash is not 32 bytes long")

    def append(self, leaf_hashes: Iterable[bytes]) -> CompactRange:
        """Return the range with more leaves behind it."""
        size, hashes = self.size, list(self.hashes)
        for value in leaf_hashes:
            merged, level = value, size
            while level & 1:
                merged = node_hash(hashes.pop(), merged)
                level >>= 1
            hashes.append(merged)
            size += 1
        return CompactRange(size=size, hashes=tuple(hashes))

    def root(self) -> bytes:
        """Return the root of the tree over all leaves."""
        if not self.hashes:
            return EMPTY_ROOT
        *rest, found = self.hashes
        for left in reversed(rest):
            found = node_hash(left, found)
        return found


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root of a tree."""
    return CompactRange().append(leaf_hashes).root()


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the proof that a leaf is in the tree (RFC 9162 §2.1.3.1)."""
    ranges = inclusion_ranges(index, len(leaf_hashes))
    return [root(leaf_hashes[begin:end]) for begin, end in ranges]


def consistency_proof(leaf_hashes: Sequence[bytes], size: int) -> list[bytes]:
    """Return the proof that the tree continues its first `size` leaves.

    RFC 9162 §2.1.4.1. Nothing needs to be proved for an empty or an equal tree.
    """
    ranges = consistency_ranges(size, len(leaf_hashes))
    return [root(leaf_hashes[begin:end]) for begin, end in ranges]


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Return the ranges of leaves whose roots prove a leaf, its sibling first."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    ranges: list[tuple[int, int]] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + split(end - begin)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    return ranges[::-1]


def consistency_ranges(old_size: int, size: int) -> list[tuple[int, int]]:
    """Return the ranges of leaves whose roots prove that a tree continues another."""
    if not 0 <= old_size <= size:
        raise ValueError(f"a tree of {size} never had {old_size} leaves")
    ranges: list[tuple[int, int]] = []
    begin, end = 0, size
    while old_size not in (begin, end):
        middle = begin + split(end - begin)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    # A complete old tree is a node of the new one, which the verifier has already.
    if begin:
        ranges.append((begin, end))
    return ranges[::-1]


def verify_inclusion(
    *, index: int, size: int, leaf: bytes, proof: Sequence[bytes], expected: bytes
) -> None:
    """Accept that a leaf hash is number `index` of the tree (RFC 9162 §2.1.3.2).

    Raises:
        ProofError: it is not, or nothing can be said.
    """
    if not 0 <= index < size:
        raise ProofError(f"no leaf {index} in a tree of {size}")
    _check_lengths([leaf, *proof])
    node, last, found = index, size - 1, leaf
    for value in proof:
        if last == 0:
            raise ProofError("the proof is too long")
        if node & 1 or node == last:
            found = node_hash(value, found)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, value)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("the proof is too short")
    if found != expected:
        raise ProofError("the proof leads to another root")


def verify_consistency(
    *,
    old_size: int,
    new_size: int,
    old_root: bytes,
    new_root: bytes,
    proof: Sequence[bytes],
) -> None:
    """Accept that the new tree continues the old one (RFC 9162 §2.1.4.2).

    Raises:
        ProofError: it does not, or nothing can be said: an empty old tree is
            continued by every tree, so that such a question is a mistake.
    """
    if not 0 < old_size <= new_size:
        raise ProofError(f"{new_size} leaves cannot continue {old_size}")
    _check_lengths(proof)
    if old_size == new_size:
        if proof:
            raise ProofError("equal trees need no proof")
        if old_root != new_root:
            raise ProofError("two roots for one size")
        return
    # A complete old tree is a node of the new one and left out of the proof.
    complete = old_size & (old_size - 1) == 0
    path = [old_root, *proof] if complete else list(proof)
    if not path:
        raise ProofError("the proof is too short")
    found_old, found_new = _climb(path, old_size - 1, new_size - 1)
    if found_old != old_root:
        raise ProofError("the proof leads to another old root")
    if found_new != new_root:
        raise ProofError("the proof leads to another new root")


def _climb(path: Sequence[bytes], node: int, last: int) -> tuple[bytes, bytes]:
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for value in path[1:]:
        if last == 0:
            raise ProofError("the proof is too long")
        if node & 1 or node == last:
            old, new = node_hash(value, old), node_hash(value, new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, value)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("the proof is too short")
    return old, new


def split(size: int) -> int:
    """Return the largest power of two below a size (RFC 9162 §2.1.1)."""
    return 1 << ((size - 1).bit_length() - 1)


def split_hashes(data: bytes) -> list[bytes]:
    """Return the hashes that stand one behind the other."""
    return [data[at : at + HASH_LENGTH] for at in range(0, len(data), HASH_LENGTH)]


def _check_lengths(hashes: Iterable[bytes]) -> None:
    if any(len(value) != HASH_LENGTH for value in hashes):
        raise ProofError("a hash is not 32 bytes long")
