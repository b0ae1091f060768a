"""A growing tree is the tree of all leaves, whatever part of it is held. Pure."""

from __future__ import annotations

import pytest

from audit.sealing.growing import FullTile, GrowingTree, unfinished_widths
from audit.tlog.merkle import CompactRange, leaf_hash, root

SIZES = [0, 1, 2, 3, 255, 256, 257, 511, 512, 1000, 65_535, 65_536, 65_537, 70_000]


@pytest.fixture(scope="module")
def leaves() -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(max(SIZES))]


@pytest.mark.parametrize("size", SIZES)
def test_range_is_that_of_all_leaves(leaves: list[bytes], size: int) -> None:
    tree = GrowingTree()
    list(tree.extend(leaves[:size]))
    assert tree.range() == CompactRange().append(leaves[:size])


def test_every_tile_is_handed_out_once_in_its_place(leaves: list[bytes]) -> None:
    tree = GrowingTree()
    tiles = list(tree.extend(leaves))
    level_0 = [tile for tile in tiles if tile.level == 0]
    assert [tile.index for tile in level_0] == list(range(70_000 // 256))
    assert b"".join(tile.data for tile in level_0) == b"".join(leaves[: 273 * 256])
    level_1 = [tile for tile in tiles if tile.level == 1]
    assert level_1 == [
        FullTile(level=1, index=0, hashes=tuple(root(t.hashes) for t in level_0[:256]))
    ]


@pytest.mark.parametrize("first", [0, 1, 256, 300, 65_536, 65_800])
def test_a_tree_that_was_loaded_grows_like_one_that_was_not(
    leaves: list[bytes], first: int
) -> None:
    whole = GrowingTree()
    list(whole.extend(leaves[:first]))
    again = GrowingTree(
        size=first, unfinished=[list(held) for held in whole.unfinished]
    )
    assert list(again.extend(leaves[first:])) == list(whole.extend(leaves[first:]))
    assert again.range() == whole.range()


@pytest.mark.parametrize("unfinished", [[], [[b"x" * 32]], [[b"x" * 32] * 2, []]])
def test_tiles_of_another_size_are_refused(unfinished: list[list[bytes]]) -> None:
    with pytest.raises(ValueError, match="are not those of 2"):
        GrowingTree(size=2, unfinished=unfinished)


def test_a_level_that_just_became_full_holds_nothing() -> None:
    assert unfinished_widths(256) == [0, 1]
    assert unfinished_widths(65_536) == [0, 0, 1]
