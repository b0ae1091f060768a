"""A tree that grows by leaves and hands out the tiles that are full. Pure.

Of every level only the last, unfinished tile is held: at most 255 hashes each, from
which the root follows. A tree of a thousand million leaves is four such lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from audit.tlog.merkle import CompactRange, root
from audit.tlog.tiles import HEIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class FullTile:
    """A tile that will not change any more, and its place (C2SP tlog-tiles)."""

    level: int
    index: int
    hashes: tuple[bytes, ...]

    @property
    def data(self) -> bytes:
        """Return what is stored of it."""
        return b"".join(self.hashes)


@dataclass(slots=True, kw_only=True)
class GrowingTree:
    """All leaves so far, as the unfinished tile of each level, the leaves' first."""

    size: int = 0
    unfinished: list[list[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse tiles that no tree of this size has."""
        widths = [len(held) for held in self.unfinished]
        if widths != unfinished_widths(self.size):
            raise ValueError(f"tiles of {widths} hashes are not those of {self.size}")

    def extend(self, leaf_hashes: Iterable[bytes]) -> Iterator[FullTile]:
        """Grow by leaves; yield the tiles that became full, in the order they did."""
        for value in leaf_hashes:
            self.size += 1
            yield from self._add(0, value)

    def range(self) -> CompactRange:
        """Return the roots of the complete subtrees, from which the root follows."""
        parts: list[bytes] = []
        for held in reversed(self.unfinished):
            parts += _subtrees(held)
        return CompactRange(size=self.size, hashes=tuple(parts))

    def _add(self, level: int, value: bytes) -> Iterator[FullTile]:
        if level == len(self.unfinished):
            self.unfinished.append([])
        held = self.unfinished[level]
        held.append(value)
        if len(held) == WIDTH:
            index = (self.size >> (HEIGHT * (level + 1))) - 1
            full = FullTile(level=level, index=index, hashes=tuple(held))
            held.clear()
            yield full
            yield from self._add(level + 1, root(full.hashes))


def unfinished_widths(size: int) -> list[int]:
    """Return how many hashes the unfinished tile of each level holds."""
    widths: list[int] = []
    while size:
        widths.append(size % WIDTH)
        size >>= HEIGHT
    return widths


def _subtrees(held: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the roots of the complete subtrees of one unfinished tile."""
    begin = 0
    for bit in reversed(range(HEIGHT)):
        width = 1 << bit
        if len(held) & width:
            yield root(held[begin : begin + width])
            begin += width
