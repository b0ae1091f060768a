"""The proof that one entry is in a log, as text to hand on (C2SP tlog-proof).

It holds the index, the hashes from the leaf's sibling up, and the checkpoint with
all its signatures. Here its `extra` line carries the entry itself, so that one file
is enough; it is believed only because its hash leads to the root.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from audit.tlog.merkle import leaf_hash, verify_inclusion
from audit.tlog.note import DECIMAL, MAX_LENGTH, NoteError, decoded

if TYPE_CHECKING:
    from audit.tlog.note import Checkpoint
    from audit.tlog.policy import Accepted, Policy

HEADER: Final = "c2sp.org/tlog-proof@v1"
MAX_HASHES: Final = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProof:
    """An entry, its index, the hashes that prove it, and the signed checkpoint."""

    entry: bytes
    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str

    def __str__(self) -> str:
        """Return the proof as people hand it on."""
        extra = [f"extra {_encoded(self.entry)}"] if self.entry else []
        lines = [HEADER, *extra, f"index {self.index}", *map(_encoded, self.hashes)]
        return "\n".join([*lines, "", self.checkpoint])

    def check(self, policy: Policy) -> Accepted:
        """Accept that the entry is in a log which the policy believes.

        Raises:
            NoteError: the policy does not accept the checkpoint.
            ProofError: the hashes do not lead from the entry to its root.
        """
        accepted = policy.check(self.checkpoint.encode())
        self.verify(accepted.checkpoint)
        return accepted

    def verify(self, checkpoint: Checkpoint) -> None:
        """Accept that the entry is in the tree of a checkpoint, whoever signed it.

        Raises:
            ProofError: the hashes do not lead from the entry to its root.
        """
        verify_inclusion(
            index=self.index,
            size=checkpoint.size,
            leaf=leaf_hash(self.entry),
            proof=self.hashes,
            expected=checkpoint.root,
        )


def parse_proof(text: str) -> LogProof:
    """Read a proof without believing it.

    Raises:
        NoteError: it is not one.
    """
    if len(text) > MAX_LENGTH:
        raise NoteError(f"a proof has at most {MAX_LENGTH} characters")
    head, _, checkpoint = text.partition("\n\n")
    header, *lines = head.split("\n")
    entry = b""
    if lines and lines[0].startswith("extra "):
        entry = decoded(lines.pop(0).removeprefix("extra "))
    if header != HEADER or not lines or not checkpoint:
        raise NoteError(f"a proof begins with {HEADER} and ends with a checkpoint")
    word, _, index = lines[0].partition(" ")
    if word != "index" or not DECIMAL.fullmatch(index) or len(lines) > MAX_HASHES + 1:
        raise NoteError("a proof says an index and at most 63 hashes")
    return LogProof(
        entry=entry,
        index=int(index),
        hashes=tuple(map(decoded, lines[1:])),
        checkpoint=checkpoint,
    )


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()
