"""What went is refused, and all else is as in the tree that nobody pruned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from audit.tlog.merkle import (
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from audit.tlog.pruned import PrunedError, PrunedTree

MOST: Final = 64
LEAVES: Final = [leaf_hash(bytes([number])) for number in range(MOST)]


def pruned(below: int, size: int) -> PrunedTree:
    """Return a tree that holds no leaf below, not even to read it by mistake."""
    kept: Sequence[bytes] = LEAVES[below:size]

    def range_root(begin: int, end: int) -> bytes:
        assert below <= begin < end <= size
        return root(kept[begin - below : end - below])

    frontier = CompactRange().append(LEAVES[:below])
    assert len(frontier.hashes) <= MOST.bit_length() - 1
    return PrunedTree(size=size, frontier=frontier, kept=range_root)


@pytest.mark.parametrize("below", range(MOST))
def test_kept_leaves_are_proved_as_in_the_full_tree(below: int) -> None:
    """All 0 ≤ m < n ≤ 64: roots, and the proof of every kept leaf in every tree."""
    for size in range(below + 1, MOST + 1):
        tree, full = pruned(below, size), LEAVES[:size]
        assert tree.root() == root(full)
        for index in range(below, size):
            proof = tree.inclusion_proof(index)
            assert proof == inclusion_proof(full, index)
            verify_inclusion(
                index=index,
                size=size,
                leaf=LEAVES[index],
                proof=proof,
                expected=root(full),
            )


@pytest.mark.parametrize("below", range(MOST))
def test_later_trees_continue_each_other_as_in_the_full_tree(below: int) -> None:
    tree = pruned(below, MOST)
    for size in range(max(below, 1), MOST + 1):
        full = LEAVES[:size]
        assert tree.root(size) == root(full)
        for old in range(max(below, 1), size + 1):
            proof = tree.consistency_proof(old, size)
            assert proof == consistency_proof(full, old)
            verify_consistency(
                old_size=old,
                new_size=size,
                old_root=root(full[:old]),
                new_root=root(full),
                proof=proof,
            )


@pytest.mark.parametrize("below", range(1, MOST))
def test_what_went_is_refused(below: int) -> None:
    tree = pruned(below, MOST)
    for gone in range(below):
        with pytest.raises(PrunedError):
            tree.root(gone)
        with pytest.raises(PrunedError):
            tree.consistency_proof(gone)
        with pytest.raises(PrunedError):
            tree.inclusion_proof(gone)


def test_a_tree_of_which_all_went_has_its_root() -> None:
    tree = pruned(MOST, MOST)
    assert tree.root() == root(LEAVES)
    assert tree.consistency_proof(MOST) == []


def test_a_frontier_of_another_tree_gives_another_root() -> None:
    """Whoever prunes what was edited before is found by the signed root."""
    other = CompactRange().append([*LEAVES[:9], leaf_hash(b"edited"), *LEAVES[10:40]])
    honest = pruned(40, MOST)
    forged = PrunedTree(size=MOST, frontier=other, kept=honest.kept)
    assert forged.root() != root(LEAVES)


def test_nothing_is_pruned_beyond_the_tree() -> None:
    with pytest.raises(ValueError, match="cannot be gone"):
        pruned(8, 7)


def test_an_empty_tree_is_not_pruned() -> None:
    assert pruned(0, 0).root() == root([])
