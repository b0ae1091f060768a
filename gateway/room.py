"""How much evidence may lie on the disk: a limit, and a share that stays free.

The share is for what the agent must be able to write however much evidence waits:
the snapshot it accepted, its sequence numbers, what it has lost. Others may fill the
disk all the same; then evidence stops first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_BYTES: Final = 1 << 30
DEFAULT_FREE_PERCENT: Final = 5
PARTS: Final = 16
"""A segment is at most this part of the whole, so that room comes back in pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most bytes of a spool, and the percentage of its disk that stays free."""

    total: int = DEFAULT_BYTES
    free_percent: int = DEFAULT_FREE_PERCENT


STANDARD: Final = Limits()


def room(directory: Path, size: int, limits: Limits) -> int:
    """Return how many bytes may be written yet, when `size` are there already.

    Raises:
        OSError: the disk does not say.
    """
    disk = os.statvfs(directory)
    kept = disk.f_blocks * limits.free_percent // 100
    return min(limits.total - size, (disk.f_bavail - kept) * disk.f_frsize)


def segment_size(directory: Path, wanted: int, limits: Limits) -> int:
    """Return how large a segment may become.

    Raises:
        OSError: the disk does not say.
    """
    disk = os.statvfs(directory)
    return min(wanted, limits.total // PARTS, disk.f_blocks * disk.f_frsize // PARTS)
