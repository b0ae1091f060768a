"""Room on the disk of the log: a brake and a ballast (ADR-0037).

* Below `PEERAGE_ROOM_RESERVE_MB` nothing is recorded that gives somebody more, and no
  evidence of gateways is taken: both fail before anything was changed.
* Half of the reserve lies beside the database as a file, the ballast. When a disk is
  full although the portal has stopped, because somebody else filled it, the ballast is
  given back, a step for each change that takes something away.

The disk is asked, not remembered: an answer costs some microseconds. Where the database
is on another host nothing can be asked, and `look` says nothing.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import OperationalError

from audit.errors import NoRoomError

logger = logging.getLogger(__name__)

MEBI: Final = 1 << 20
BALLAST: Final = "ballast"
DISK_FULL: Final = "53100"
"""PostgreSQL's `disk_full` (its manual, appendix A)."""
SQLITE_FULL: Final = "database or disk is full"
STEP: Final = 8 * MEBI
"""Bytes given back at once; more than a revocation and its snapshots need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A disk: bytes that are free, bytes kept free, and bytes of the ballast."""

    free: int
    reserve: int
    ballast: int

    @property
    def is_low(self) -> bool:
        """Return whether nothing more is given."""
        return self.free < self.reserve

    @property
    def is_spent(self) -> bool:
        """Return whether a revocation may not find its place without the ballast."""
        # Less than a step: what was given back is not given again for its first byte.
        return self.free < min(STEP // 2, self.reserve // 4)


def look() -> Room | None:
    """Return how the disk is; None where none is watched.

    Raises:
        OSError: the directory is gone.
    """
    reserve = settings.PEERAGE_ROOM_RESERVE_MB * MEBI
    if not settings.PEERAGE_ROOM_DIR or not reserve:
        return None
    disk = os.statvfs(settings.PEERAGE_ROOM_DIR)
    return Room(
        free=disk.f_bavail * disk.f_frsize,
        reserve=reserve,
        ballast=_size(_ballast()),
    )


def require() -> None:
    """Go on only if there is room for what gives somebody more.

    Raises:
        NoRoomError: there is little.
    """
    try:
        room = look()
    except OSError as exc:
        raise NoRoomError(f"the disk of the log cannot be asked: {exc}") from exc
    if room is not None and room.is_low:
        raise NoRoomError(
            f"the disk of the log has {room.free // MEBI} MiB left, and"
            f" {room.reserve // MEBI} MiB are kept for revocations"
        )


def make() -> bool:
    """Give a step of the ballast back if the disk is full; return whether it was.

    A disk that cannot be asked keeps nobody from revoking: the log of the process says
    so, and the database will say whether it had room.
    """
    try:
        room = look()
        if room is None or not room.is_spent or not room.ballast:
            return False
        with _ballast().open("r+b") as file:
            # One at a time: who read a larger size would make it longer by a hole,
            # and a step that somebody just gave back may be enough.
            fcntl.flock(file, fcntl.LOCK_EX)
            room = look()
            if room is None or not room.is_spent or not room.ballast:
                return False
            left = max(0, room.ballast - STEP)
            os.truncate(file.fileno(), left)
    except OSError:
        logger.exception("the ballast of %s is out of reach", settings.PEERAGE_ROOM_DIR)
        return False
    logger.critical("the disk of the log is full; the ballast has %d bytes left", left)
    return True


def is_full(exc: BaseException | None) -> bool:
    """Return whether a database said that its disk is full."""
    if not isinstance(exc, OperationalError):
        return False
    return (
        SQLITE_FULL in str(exc) or getattr(exc.__cause__, "sqlstate", "") == DISK_FULL
    )


def make_after_failure(*, exception: BaseException | None = None, **_: object) -> None:
    """Make room when somebody's try met the end, so that the next finds its place.

    A receiver of `got_request_exception`: sessions, for one, are stored after the view.
    Whatever the database says: who opens SQLite on a full disk is told of an
    input/output error, and PostgreSQL cannot be reached when its own log found no
    place. `make` asks the disk. Jobs are left out: they try for ever, and would give
    it all to whoever fills the disk before anybody has revoked anything.
    """
    if isinstance(exception or sys.exc_info()[1], OperationalError):
        make()


def fill() -> None:
    """Make the ballast whole again where that leaves the reserve free.

    Raises:
        OSError: the disk did not take it.
    """
    room = look()
    if room is None:
        return
    whole = room.reserve // 2
    if room.ballast == whole or room.free < 2 * room.reserve:
        return
    with _ballast().open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            # Not by its length, which would leave a hole, and a hole holds no room.
            os.posix_fallocate(file.fileno(), 0, whole)
        except OSError:
            os.truncate(file.fileno(), room.ballast)
            raise
        os.truncate(file.fileno(), whole)
        os.fsync(file.fileno())


def _ballast() -> Path:
    return Path(settings.PEERAGE_ROOM_DIR) / BALLAST


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
