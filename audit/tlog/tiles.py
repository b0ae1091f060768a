"""A log as files: tiles of 256 hashes and bundles of 256 entries (C2SP tlog-tiles).

A tile of level L holds the roots of 256**L leaves each. `TileTree` finds any root
and any proof with a few tiles, from wherever `read` takes them: a directory, a web
server, a database. It believes nothing: a root made from tiles is only as good as
the checkpoint it is compared with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from audit.tlog.merkle import (
    EMPTY_ROOT,
    HASH_LENGTH,
    consistency_ranges,
    inclusion_ranges,
    node_hash,
    root,
    split,
    split_hashes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

WIDTH: Final = 256
HEIGHT: Final = 8
LENGTH_BYTES: Final = 2
MAX_ENTRY: Final = 65_535
PATH: Final = re.compile(
    r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?"
)


class TileError(ValueError):
    """A tile or bundle is not what its place says."""


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Return where a tile of hashes is, below the log's directory or address."""
    return f"tile/{level}/{_index_path(index)}{_partial(width)}"


def bundle_path(index: int, width: int = WIDTH) -> str:
    """Return where a bundle of entries is."""
    return f"tile/entries/{_index_path(index)}{_partial(width)}"


def parse_path(path: str) -> tuple[int | None, int, int]:
    """Return level, index and width of what is at a path; no level: a bundle.

    Raises:
        TileError: nothing of a log is there.
    """
    found = PATH.fullmatch(path)
    if not found:
        raise TileError(f"{path!r} is no place of a tile or bundle")
    level, index, width = found.groups()
    number = int(index.replace("/", "").replace("x", ""))
    made = None if level == "entries" else int(level), number, int(width or WIDTH)
    again = bundle_path(*made[1:]) if made[0] is None else tile_path(made[0], *made[1:])
    if again != path:
        raise TileError(f"{path!r} is another spelling of {again!r}")
    return made


def tile_width(size: int, level: int, index: int) -> int:
    """Return how many hashes a tile of a tree of `size` leaves holds; 0: no such."""
    return max(0, min(WIDTH, (size >> (HEIGHT * level)) - index * WIDTH))


def tiles(size: int) -> Iterator[tuple[int, int, int]]:
    """Return level, index and width of every tile of a tree, the leaves' first."""
    level = 0
    while count := size >> (HEIGHT * level):
        for index in range(-(-count // WIDTH)):
            yield level, index, tile_width(size, level, index)
        level += 1


def hashes(data: bytes, width: int) -> list[bytes]:
    """Return the hashes of a tile.

    Raises:
        TileError: it holds another number of hashes than its place says.
    """
    if len(data) != width * HASH_LENGTH:
        raise TileError(f"a tile of {width} hashes has not {len(data)} bytes")
    return split_hashes(data)


def bundle(entries: Iterable[bytes]) -> bytes:
    """Return entries as a bundle: each with its length in two bytes before it."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY:
            raise TileError(f"an entry has at most {MAX_ENTRY} bytes: {len(entry)}")
        parts += (len(entry).to_bytes(LENGTH_BYTES), entry)
    return b"".join(parts)


def entries(data: bytes, width: int) -> list[bytes]:
    """Return the entries of a bundle.

    Raises:
        TileError: it ends within an entry, or holds another number of them.
    """
    found: list[bytes] = []
    at = 0
    while at < len(data):
        begin = at + LENGTH_BYTES
        at = begin + int.from_bytes(data[at:begin])
        found.append(data[begin:at])
    if at != len(data) or len(found) != width:
        raise TileError(f"a bundle of {width} entries holds {len(found)} or a part")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TileTree:
    """A tree of `size` leaves whose tiles `read(level, index, width)` returns."""

    size: int
    read: Callable[[int, int, int], bytes]

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves; of all by default."""
        size = self.size if size is None else size
        return self.range_root(0, size) if size else EMPTY_ROOT

    def leaf(self, index: int) -> bytes:
        """Return the hash of a leaf."""
        return self.range_root(index, index + 1)

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the proof that a leaf is among the first `size`; of all by default."""
        size = self.size if size is None else size
        return [self.range_root(*part) for part in inclusion_ranges(index, size)]

    def consistency_proof(self, old_size: int, size: int | None = None) -> list[bytes]:
        """Return the proof that the tree continues its first `old_size` leaves."""
        size = self.size if size is None else size
        return [self.range_root(*part) for part in consistency_ranges(old_size, size)]

    def range_root(self, begin: int, end: int) -> bytes:
        """Return the root over a range; it begins where a subtree of its size may."""
        if not 0 <= begin < end <= self.size:
            raise TileError(f"no leaves {begin} to {end} in a tree of {self.size}")
        count = end - begin
        if count & (count - 1) == 0:
            return self._subtree(begin, count.bit_length() - 1)
        middle = begin + split(count)
        return node_hash(self.range_root(begin, middle), self.range_root(middle, end))

    def _subtree(self, begin: int, height: int) -> bytes:
        """Return the root of 2**height leaves, from the one tile that holds it."""
        level, inner = divmod(height, HEIGHT)
        index, offset = divmod(begin >> (HEIGHT * level), WIDTH)
        width = tile_width(self.size, level, index)
        held = hashes(self.read(level, index, width), width)
        return root(held[offset : offset + (1 << inner)])


def _index_path(index: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def _partial(width: int) -> str:
    if not 0 < width <= WIDTH:
        raise TileError(f"no tile is {width} wide")
    return "" if width == WIDTH else f".p/{width}"
