"""A tree whose first leaves went, and what still follows from it (ADR-0036). Pure.

Of the leaves below the prune the frontier is kept: the roots of the complete subtrees
over them, one for each bit of their number (C2SP tlog-tiles calls that number the
minimum index). With the leaves from there on it gives every later root, the proof of
every kept leaf, and the consistency of any two trees that are not smaller than what
went. What is smaller cannot be proved any more and is refused, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit.tlog.merkle import (
    EMPTY_ROOT,
    CompactRange,
    ProofError,
    consistency_ranges,
    inclusion_ranges,
    node_hash,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from audit.tlog.tiles import TileTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """What a leaf (AU005) says of a log: its first `below` leaves may be missing.

    `leaf` is the index of the one that says so, in the control log.
    """

    log: str
    leaf: int
    below: int
    root: bytes
    hashes: tuple[bytes, ...]

    def check(self, tree: TileTree, root: bytes) -> None:
        """Accept that frontier and kept leaves give the signed root of a tree.

        Raises:
            ProofError: they give another, so that something else went.
            TileError: the tree has no such leaves.
        """
        try:
            frontier = CompactRange(size=self.below, hashes=self.hashes)
            held = PrunedTree(size=tree.size, frontier=frontier, kept=tree.range_root)
        except ValueError as exc:
            raise ProofError(str(exc)) from exc
        if frontier.root() != self.root or held.root() != root:
            raise ProofError("its frontier does not lead to the signed root")


class PrunedError(ProofError):
    """What is asked for lies below the prune."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedTree:
    """A tree of `size` leaves, of which those from `frontier.size` on are kept.

    `kept(begin, end)` returns the root over a range of kept leaves.
    """

    size: int
    frontier: CompactRange
    kept: Callable[[int, int], bytes]

    def __post_init__(self) -> None:
        """Refuse a prune beyond the tree."""
        if self.frontier.size > self.size:
            below = self.frontier.size
            raise ValueError(f"{below} leaves of a tree of {self.size} cannot be gone")

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves; of all by default.

        Raises:
            PrunedError: that tree is smaller than what went.
        """
        size = self._not_below(self.size if size is None else size)
        return self._range_root(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the proof that a leaf is among the first `size`; of all by default.

        Raises:
            PrunedError: the leaf went, or that tree is smaller than what went.
            ValueError: there is no such leaf.
        """
        size = self._not_below(self.size if size is None else size)
        if 0 <= index < self.frontier.size:
            raise PrunedError(f"leaf {index} was pruned, with all below {self._below}")
        return [self._range_root(*part) for part in inclusion_ranges(index, size)]

    def consistency_proof(self, old_size: int, size: int | None = None) -> list[bytes]:
        """Return the proof that the tree continues its first `old_size` leaves.

        Raises:
            PrunedError: one of the two trees is smaller than what went.
            ValueError: there were never so many leaves.
        """
        size = self._not_below(self.size if size is None else size)
        old_size = self._not_below(old_size)
        return [self._range_root(*part) for part in consistency_ranges(old_size, size)]

    @property
    def _below(self) -> int:
        return self.frontier.size

    def _not_below(self, size: int) -> int:
        if size < self._below:
            raise PrunedError(f"the leaves below {self._below} were pruned")
        return size

    def _range_root(self, begin: int, end: int) -> bytes:
        if begin >= self._below:
            return self.kept(begin, end)
        for held, value in _nodes(self.frontier):
            if held == (begin, end):
                return value
        middle = begin + split(end - begin)
        return node_hash(self._range_root(begin, middle), self._range_root(middle, end))


def frontier_of(tree: TileTree, below: int) -> CompactRange:
    """Return what is kept of the first `below` leaves of a tree."""
    hashes, begin = [], 0
    while begin < below:
        width = 1 << ((below - begin).bit_length() - 1)
        hashes.append(tree.range_root(begin, begin + width))
        begin += width
    return CompactRange(size=below, hashes=tuple(hashes))


def _nodes(frontier: CompactRange) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield the range and root of each complete subtree, the largest first."""
    begin = 0
    for value in frontier.hashes:
        rest = frontier.size - begin
        width = 1 << (rest.bit_length() - 1)
        yield (begin, begin + width), value
        begin += width
