"""Tiles stand for the whole tree: every root and proof comes out as from the leaves."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from audit.tlog.merkle import (
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_inclusion,
)
from audit.tlog.tiles import (
    TileError,
    TileTree,
    bundle,
    bundle_path,
    entries,
    hashes,
    parse_path,
    tile_path,
    tile_width,
    tiles,
)

LOG = Path(__file__).resolve().parents[4] / "shared/vectors/tessera/testdata/log"
LEAVES = [leaf_hash(number.to_bytes(4)) for number in range(66_000)]


def tree(size: int) -> TileTree:
    """Return a tree that has its tiles and nothing else."""
    held: dict[tuple[int, int], list[bytes]] = {}
    level, row = 0, LEAVES[:size]
    while row:
        for index in range(0, len(row), 256):
            held[level, index // 256] = row[index : index + 256]
        row = [
            root(row[index : index + 256])
            for index in range(0, len(row) // 256 * 256, 256)
        ]
        level += 1

    def read(level: int, index: int, width: int) -> bytes:
        found = held[level, index]
        assert len(found) == width
        return b"".join(found)

    return TileTree(size=size, read=read)


@pytest.mark.parametrize(
    ("index", "width", "path"),
    [
        (0, 256, "tile/0/000"),
        (999, 256, "tile/0/999"),
        (1000, 256, "tile/0/x001/000"),
        # The example of C2SP tlog-tiles.
        (1234067, 256, "tile/0/x001/x234/067"),
        (273, 112, "tile/0/273.p/112"),
    ],
)
def test_path_is_that_of_the_specification(index: int, width: int, path: str) -> None:
    assert tile_path(0, index, width) == path
    assert bundle_path(index, width) == path.replace("tile/0", "tile/entries")


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("index", [0, 7, 999, 1000, 1234067])
@pytest.mark.parametrize("width", [1, 255, 256])
def test_path_is_read_back(level: int, index: int, width: int) -> None:
    assert parse_path(tile_path(level, index, width)) == (level, index, width)
    assert parse_path(bundle_path(index, width)) == (None, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "tile/0/0",
        "tile/00/000",
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/07",
        "tile/0/../000",
        "tile/0/000\n",
    ],
)
def test_another_spelling_of_a_path_is_refused(path: str) -> None:
    with pytest.raises(TileError):
        parse_path(path)


@pytest.mark.parametrize("width", [0, 257, -1])
def test_no_tile_has_another_width(width: int) -> None:
    with pytest.raises(TileError, match="wide"):
        tile_path(0, 0, width)


def test_tiles_of_a_tree_are_those_of_the_specification() -> None:
    found = list(tiles(70_000))
    by_level = [[tile for tile in found if tile[0] == level] for level in range(4)]
    assert [len(tiles) for tiles in by_level] == [274, 2, 1, 0]
    assert [tiles[-1] for tiles in by_level[:3]] == [
        (0, 273, 112),
        (1, 1, 17),
        (2, 0, 1),
    ]
    assert list(tiles(256)) == [(0, 0, 256), (1, 0, 1)]
    assert list(tiles(0)) == []


def test_a_tile_beyond_the_tree_has_no_width() -> None:
    assert tile_width(256, 0, 1) == 0
    assert tile_width(300, 0, 1) == 44


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 513, 700, 65_536, 65_999])
def test_root_and_proofs_come_out_as_from_the_leaves(size: int) -> None:
    found, leaves = tree(size), LEAVES[:size]
    assert found.root() == root(leaves)
    for index in {0, size // 3, size // 2, size - 1}:
        assert found.leaf(index) == leaves[index]
        assert found.inclusion_proof(index) == inclusion_proof(leaves, index)
    for old in {1, size // 3 or 1, min(size, 256), size}:
        assert found.root(old) == root(leaves[:old])
        assert found.consistency_proof(old) == consistency_proof(leaves, old)


def test_an_earlier_tree_is_read_from_a_later_ones_tiles() -> None:
    found = tree(700)
    for size in (1, 255, 256, 257, 699):
        assert found.root(size) == root(LEAVES[:size])
        assert found.inclusion_proof(0, size) == inclusion_proof(LEAVES[:size], 0)
    for old, new in combinations((3, 256, 300, 512, 700), 2):
        assert found.consistency_proof(old, new) == consistency_proof(LEAVES[:new], old)


def test_empty_tree_has_the_empty_root() -> None:
    assert tree(0).root() == root([])


def test_nothing_beyond_the_tree_is_made_up() -> None:
    with pytest.raises(TileError, match="in a tree of 3"):
        tree(3).root(4)


def test_tile_of_another_length_is_refused() -> None:
    assert hashes(bytes(64), 2) == [bytes(32)] * 2
    for data in (b"", bytes(63), bytes(96)):
        with pytest.raises(TileError, match="has not"):
            hashes(data, 2)


def test_bundle_is_read_back() -> None:
    held = [b"", b"one", b"\x00" * 65_535]
    assert entries(bundle(held), 3) == held


def test_g10_entry_that_two_bytes_cannot_measure_is_refused() -> None:
    with pytest.raises(TileError, match="at most 65535"):
        bundle([b"\x00" * 65_536])


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x00\x04one", b"\x00\x03one\x00", b"\x00\x01a\x00\x01b"]
)
def test_g10_bundle_that_ends_within_an_entry_is_refused(data: bytes) -> None:
    with pytest.raises(TileError, match="a bundle of 1"):
        entries(data, 1)


def test_g10_leaf_that_looks_like_a_node_is_another_tree() -> None:
    left, right = LEAVES[:2]
    forged = leaf_hash(b"\x01" + left + right)
    assert forged != node_hash(left, right)
    with pytest.raises(ProofError):
        verify_inclusion(
            index=0, size=1, leaf=forged, proof=[], expected=root(LEAVES[:2])
        )


def test_g10_empty_leaf_is_a_leaf_of_its_own() -> None:
    assert root([leaf_hash(b"")]) != root([])
    assert leaf_hash(b"") == bytes.fromhex(
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )


@pytest.mark.skipif(
    not LOG.is_dir(), reason="../shared/vectors is not here (a user's clone)"
)
@pytest.mark.parametrize("size", range(1, 16))
def test_tiles_of_others_lie_where_ours_would(size: int) -> None:
    found = list(tiles(size))
    assert found == [(0, 0, size)]
    entry_data = (LOG / bundle_path(0, size)).read_bytes()
    tile_data = (LOG / tile_path(*found[0])).read_bytes()
    assert hashes(tile_data, size) == [
        leaf_hash(entry) for entry in entries(entry_data, size)
    ]
    assert bundle(entries(entry_data, size)) == entry_data
