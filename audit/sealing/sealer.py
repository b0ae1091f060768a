"""One log's sealer.

1. In one transaction it takes events out of the outbox, gives each its index, and
   stores the tiles that became full.
2. It signs the tree: first its own file, outside the database and on the disk, says
   size and root; then the checkpoint is stored, for everybody to see.

Killed anywhere, it goes on from the tables: an event is either in the outbox or has
its index, and the file is never ahead of the leaves that are committed. Before
anything is signed the tree must continue what the file says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import transaction

from audit.sealing import keeping, tables
from audit.sealing.deciding import BATCH, Signed, check_continues, is_due
from audit.tlog.merkle import leaf_hash
from audit.tlog.note import Checkpoint, sign_note

if TYPE_CHECKING:
    from datetime import datetime

    from audit.models import Log
    from audit.sealing.growing import GrowingTree


@dataclass(slots=True)
class Sealer:
    """Seals one log; `audit.sealing.runner` calls it again and again."""

    log: Log
    _tree: GrowingTree | None = field(default=None, init=False)

    def seal(self, now: datetime) -> int:
        """Take in at most a batch and sign if it is time; return how many were taken.

        Nothing is taken while another sealer is at work.

        Raises:
            SealError: the tree must not be signed, or a file cannot be used.
        """
        try:
            taken = self._take()
            self._sign(now)
        except BaseException:
            # Whatever it was, the tables are the truth.
            self._tree = None
            raise
        return taken

    @transaction.atomic
    def _take(self) -> int:
        if not tables.lock(self.log):
            return 0
        tree = self._current()
        taken = tables.take(self.log, BATCH)
        if taken:
            tables.add_leaves(self.log, tree.size, [number for number, _ in taken])
            tiles = tree.extend(leaf_hash(leaf) for _, leaf in taken)
            tables.add_tiles(
                self.log, [(tile.level, tile.index, tile.data) for tile in tiles]
            )
        return len(taken)

    @transaction.atomic
    def _sign(self, now: datetime) -> None:
        if not tables.lock(self.log):
            return
        tree = self._current().range()
        before = tables.signed(self.log)
        if not is_due(
            now=now,
            signed_at=before.signed_at if before else None,
            size=tree.size,
            signed_size=before.size if before else None,
        ):
            return
        key = keeping.private_key(self.log)
        name = keeping.origin(self.log)
        checkpoint = Checkpoint(origin=name, size=tree.size, root=tree.root())
        note = str(sign_note(checkpoint.text(), name=name, key=key))
        keeping.remember(self.log, Signed(size=tree.size, root=tree.root()))
        tables.publish(
            self.log,
            tree,
            note=note,
            key=str(keeping.verifier_key(self.log)),
            now=now,
        )

    def _current(self) -> GrowingTree:
        """Return the tree, read anew if somebody else sealed meanwhile."""
        size = tables.size(self.log)
        if self._tree is None or self._tree.size != size:
            self._tree = self._checked()
        return self._tree

    def _checked(self) -> GrowingTree:
        tree = tables.load_tree(self.log)
        before = tables.signed(self.log)
        check_continues(
            keeping.last_signed(self.log),
            size=tree.size,
            signed_size=before.size if before else None,
            root_at=lambda count: tables.root_at(self.log, count),
        )
        return tree


def adopt(log: Log) -> Signed:
    """Trust the database where the sealer's own file is lost; return what it says.

    Raises:
        SealError: the tables are incomplete, or the file cannot be written.
    """
    tree = tables.load_tree(log).range()
    signed = Signed(size=tree.size, root=tree.root())
    keeping.remember(log, signed)
    return signed
