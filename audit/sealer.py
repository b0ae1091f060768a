"""What seals a log: the one party that numbers events and signs for them.

The sealer is a process of its own with its own key, so that whoever owns the web
workers cannot sign. This module states what the rest of the house may rely on; the
process itself is built behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from audit.tlog.note import Checkpoint


class Sealer(Protocol):
    """Seals one log.

    Keepers of this promise: every event that was committed gets exactly one index,
    in the order of its primary key among the unsealed ones; an index is never given
    twice; each checkpoint continues the one before it; a tree smaller than, or
    inconsistent with, the last one signed is refused (`audit.errors.AuditError`),
    also after a restart and after the database was restored from a backup.
    """

    def seal(self, now: datetime) -> Checkpoint:
        """Take in what is unsealed and return the checkpoint of the tree.

        Called also when nothing happened: the same tree, said again, shows that the
        log is alive. `now` is the moment of the signature; it is not in the tree.
        """
        ...
