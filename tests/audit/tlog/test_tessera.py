"""A log that others wrote (C2SP tlog-tiles, by Tessera) verifies with our code."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from audit.tlog.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from audit.tlog.note import (
    Checkpoint,
    parse_checkpoint,
    parse_verifier_key,
    verify_note,
)

LOG = (
    Path(__file__).resolve().parents[4]
    / "shared"
    / "vectors"
    / "tessera"
    / "testdata"
    / "log"
)
KEY = parse_verifier_key(
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
)
SIZES = range(16)

pytestmark = pytest.mark.skipif(
    not LOG.is_dir(), reason="../shared/vectors is not here (a user's clone)"
)


def checkpoint(size: int) -> Checkpoint:
    data = (LOG / f"checkpoint.{size}").read_bytes()
    return parse_checkpoint(verify_note(data, [KEY]).text)


def leaves() -> list[bytes]:
    """Return the entries' hashes; in a bundle each has two bytes of length."""
    data = (LOG / "tile/entries/000.p/15").read_bytes()
    found = []
    while data:
        end = 2 + int.from_bytes(data[:2])
        found.append(leaf_hash(data[2:end]))
        data = data[end:]
    return found


def test_the_tile_holds_the_hashes_of_the_entries() -> None:
    assert b"".join(leaves()) == (LOG / "tile/0/000.p/15").read_bytes()


@pytest.mark.parametrize("size", SIZES)
def test_checkpoint_is_signed_and_has_our_root(size: int) -> None:
    found = checkpoint(size)
    assert (found.origin, found.size) == ("example.com/log/testdata", size)
    assert found.root == root(leaves()[:size])


@pytest.mark.parametrize(
    ("size", "index"), [(size, index) for size in SIZES for index in range(size)]
)
def test_every_entry_is_in_every_later_checkpoint(size: int, index: int) -> None:
    verify_inclusion(
        index=index,
        size=size,
        leaf=leaves()[index],
        proof=inclusion_proof(leaves()[:size], index),
        expected=checkpoint(size).root,
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [*combinations(SIZES[1:], 2), *((size, size) for size in SIZES[1:])],
)
def test_every_checkpoint_continues_every_earlier_one(old: int, new: int) -> None:
    verify_consistency(
        old_size=old,
        new_size=new,
        old_root=checkpoint(old).root,
        new_root=checkpoint(new).root,
        proof=consistency_proof(leaves()[:new], old),
    )
