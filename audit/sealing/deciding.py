"""When to sign, and what never to sign. Pure.

The memory of the sealer lies outside the database: whoever restores an old backup, or
edits the tables, does not restore it. What was once signed must be a prefix of
whatever is signed next (C2SP tlog-checkpoint asks this of every log).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from audit.errors import SealError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

BATCH: Final = 5000
IDLE_SECONDS: Final = 10.0
"""A log in which nothing happens is signed again after this, to show that it lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The last tree that was signed, as the sealer's own file remembers it."""

    size: int
    root: bytes


def check_continues(
    last: Signed | None,
    *,
    size: int,
    signed_size: int | None,
    root_at: Callable[[int], bytes],
) -> None:
    """Accept that a tree continues what was signed.

    `signed_size` is that of the newest checkpoint in the database, None if there is
    none; `root_at` returns the root of the first so many leaves.

    Raises:
        SealError: the tree is smaller or another one, or the memory is gone.
    """
    if last is None:
        if signed_size is None:
            return
        raise SealError(
            f"{signed_size} leaves were signed, but the sealer's state file is gone:"
            " bring it back; or, if it is lost, compare with what the witnesses have"
            " signed and run manage.py sealer --adopt"
        )
    if size < last.size:
        raise SealError(
            f"the log has {size} leaves, but {last.size} were signed: the database was"
            " restored or edited. Nothing is signed. Bring back the lost leaves"
            " (a newer backup, write-ahead log, replica); see docs/audit.md, restoring"
        )
    if root_at(last.size) != last.root:
        raise SealError(
            f"the first {last.size} leaves are not the ones that were signed: the"
            " database was edited. Nothing is signed. Run manage.py verify_log"
        )


def is_due(
    *, now: datetime, signed_at: datetime | None, size: int, signed_size: int | None
) -> bool:
    """Return whether the tree is to be signed now: it grew, or it was quiet long."""
    if signed_at is None or size != signed_size:
        return True
    return (now - signed_at).total_seconds() >= IDLE_SECONDS
