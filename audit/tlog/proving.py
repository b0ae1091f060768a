"""Proofs made from a log's files, and verified before they are handed on."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from audit.tlog.merkle import ProofError, verify_consistency
from audit.tlog.note import parse_checkpoint, parse_note
from audit.tlog.proof import LogProof
from audit.tlog.tiles import (
    WIDTH,
    TileTree,
    bundle_path,
    entries,
    tile_path,
    tile_width,
)

if TYPE_CHECKING:
    from audit.tlog.policy import Policy
    from audit.tlog.whole import Files


def held_tree(files: Files, size: int) -> TileTree:
    """Return the tree as a log's tiles have it."""

    @lru_cache(maxsize=64)
    def read(level: int, index: int, width: int) -> bytes:
        return files.read(tile_path(level, index, width))

    return TileTree(size=size, read=read)


def entry(files: Files, size: int, index: int) -> bytes:
    """Return one entry of a log."""
    number, place = divmod(index, WIDTH)
    width = tile_width(size, 0, number)
    return entries(files.read(bundle_path(number, width)), width)[place]


def consistency(files: Files, policy: Policy, old: bytes) -> tuple[int, int]:
    """Accept that the log continues an old checkpoint; return both sizes.

    Raises:
        NoteError: one of the checkpoints is refused.
        ProofError: it is another tree.
    """
    before = policy.check(old).checkpoint
    now = policy.check(files.read("checkpoint")).checkpoint
    if before.size:
        # Where the old tree is the larger, the verifier has the words for it.
        tree = held_tree(files, now.size)
        proof = tree.consistency_proof(before.size) if before.size <= now.size else []
        verify_consistency(
            old_size=before.size,
            new_size=now.size,
            old_root=before.root,
            new_root=now.root,
            proof=proof,
        )
    return before.size, now.size


def prove(files: Files, policy: Policy | None, index: int) -> LogProof:
    """Return the proof that entry `index` is in the log; it was checked.

    Without a policy the signatures are for others to judge: so the log's own house
    makes proofs, and need not know the keys that its sealer and witnesses have.

    Raises:
        NoteError: the checkpoint is refused.
        ProofError: no such entry, or it does not fit to tiles and checkpoint.
        MissingError: an entry or tile is not there.
    """
    data = files.read("checkpoint")
    if policy is None:
        checkpoint = parse_checkpoint(parse_note(data).text)
    else:
        checkpoint = policy.check(data).checkpoint
    if index >= checkpoint.size:
        raise ProofError(f"no leaf {index} in a tree of {checkpoint.size}")
    found = LogProof(
        entry=entry(files, checkpoint.size, index),
        index=index,
        hashes=tuple(held_tree(files, checkpoint.size).inclusion_proof(index)),
        checkpoint=data.decode(),
    )
    found.verify(checkpoint)
    return found
