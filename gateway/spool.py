"""The evidence spool: records survive the agent until the portal has signed for them.

* Append-only segment files (`segments`).
* A record is durable after `sync` (the agent calls it every 200 ms); only durable
  records are given out. Of many that wait, the oldest are in memory.
* A segment is deleted only when `acknowledge` says that the portal has all of it.
* The sequence goes on across restarts and never repeats.
* A random name tells this spool from any other that ever was on this gateway: one that
  was deleted, or that came from a backup and counts on from old numbers (ADR-0020).
* A torn or damaged piece is skipped and counted in `lost`, never passed on. So is what
  could not be written and not be told any more when the last run ended (`owe`).
* It takes no more than its `Limits`. Once full it takes nothing until a segment's worth
  of room has come back, so that it does not open and close at every record.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import secrets
import threading
from collections import deque
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from gateway.errors import SpoolError
from gateway.room import STANDARD, Limits, room, segment_size
from gateway.segments import (
    number_of,
    packed,
    read_segment,
    records_after,
    segment_path,
    segments,
)
from gateway.store import sync_directory, write_atomically

MAX_RECORD_BYTES: Final = 8192
SEGMENT_BYTES: Final = 4 << 20
WINDOW: Final = 50_000
"""So many records are in memory at most, some 20 MB; the others on disk alone."""
ACKNOWLEDGED: Final = "acknowledged.json"
OWED: Final = "owed.json"
NAME: Final = "name"
NAME_BYTES: Final = 16


class Spool:
    """A directory of segments with one writer; safe to share between threads."""

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        limits: Limits = STANDARD,
        window: int = WINDOW,
    ) -> None:
        """Open the spool, reading what an earlier run left.

        Raises:
            SpoolError: the directory cannot be used.
        """
        self.limits = limits
        self._directory = directory
        self._window_size = window
        self._lock = threading.Lock()
        self._written: list[tuple[int, bytes]] = []
        self._window: deque[tuple[int, bytes]] = deque()
        self._is_full = False
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._segment_bytes = segment_size(directory, segment_bytes, limits)
            self.name = _name(directory) or self._new_name()
            self._acknowledged = _number(directory / ACKNOWLEDGED, "through")
            self._owed = self.lost = _number(directory / OWED, "lost")
            self._waiting = 0
            self._last = max(self._acknowledged, self._load())
            self._loaded = self._acknowledged
            self._durable = self._last
            self._file = self._start_segment()
            self._size = self._measured()
            self._room = room(directory, self._size, limits)
        except OSError as exc:
            raise SpoolError(f"{directory}: {exc.strerror}") from exc

    @property
    def last(self) -> int:
        """The last sequence number given."""
        return self._last

    @property
    def depth(self) -> int:
        """How many records the portal has not signed for."""
        return self._waiting + len(self._written)

    @property
    def size(self) -> int:
        """How many bytes the segments take on disk."""
        return self._size

    @property
    def is_full(self) -> bool:
        """Whether it takes nothing until room has come back."""
        return self._is_full

    def rename(self) -> None:
        """Go on under another name, with the same records and numbers.

        Raises:
            SpoolError: the disk refused.
        """
        with self._lock:
            try:
                self.name = self._new_name()
            except OSError as exc:
                raise SpoolError(f"{self._directory}: {exc.strerror}") from exc

    def append(self, record: Mapping[str, object]) -> int:
        """Write a record and return its sequence number. Durable after `sync`.

        Raises:
            SpoolError: the spool or the disk is full or gone, or the record is too
                long; the sequence number is then not used.
        """
        with self._lock:
            sequence = self._last + 1
            body = json.dumps(
                {"seq": sequence, **record}, separators=(",", ":")
            ).encode()
            if len(body) > MAX_RECORD_BYTES:
                raise SpoolError(f"a record of {len(body)} bytes is too long")
            data = packed(body)
            self._check_room(len(data))
            self._write(data)
            self._size += len(data)
            self._room -= len(data)
            self._last = sequence
            self._written.append((sequence, body))
            return sequence

    def sync(self) -> int:
        """Make everything written durable; return how many records that were.

        Raises:
            SpoolError: the disk refused.
        """
        with self._lock:
            if not self._written:
                return 0
            try:
                os.fsync(self._file.fileno())
                if self._file.tell() >= self._segment_bytes:
                    self._rotate()
                self._room = room(self._directory, self._size, self.limits)
            except OSError as exc:
                raise SpoolError(f"cannot make evidence durable: {exc}") from exc
            count = len(self._written)
            if (
                self._loaded == self._durable
                and len(self._window) + count <= self._window_size
            ):
                self._window.extend(self._written)
                self._loaded = self._last
            self._durable = self._last
            self._waiting += count
            self._written.clear()
            return count

    def batch(self, limit: int) -> list[tuple[int, bytes]]:
        """Return the oldest durable records that are not acknowledged, with numbers."""
        with self._lock:
            if len(self._window) < limit and self._loaded < self._durable:
                self._fill_window()
            return list(islice(self._window, limit))

    def acknowledge(self, through: int) -> None:
        """Forget the records up to `through`: the portal has signed for them.

        Raises:
            SpoolError: `through` was never given out, or the disk refused.
        """
        with self._lock:
            if through > self._last:
                raise SpoolError(
                    f"the portal signed for record {through}; the last is {self._last}"
                )
            if through <= self._acknowledged:
                return
            try:
                write_atomically(
                    self._directory / ACKNOWLEDGED,
                    json.dumps({"through": through}).encode(),
                )
                self._acknowledged = through
                while self._window and self._window[0][0] <= through:
                    self._window.popleft()
                    self._waiting -= 1
                if through > self._loaded:
                    self._skip_to(through)
                if through == self._last and self._file.tell():
                    # Nothing waits any more: give the room of this segment back, too.
                    self._rotate()
                self._delete_segments(through)
                self._size = self._measured()
                self._room = room(self._directory, self._size, self.limits)
            except OSError as exc:
                raise SpoolError(f"cannot forget evidence: {exc.strerror}") from exc

    def owe(self, lost: int) -> None:
        """Keep how many records could not be written and are not told of yet.

        Raises:
            SpoolError: the disk refused.
        """
        with self._lock:
            if lost == self._owed:
                return
            try:
                write_atomically(
                    self._directory / OWED, json.dumps({"lost": lost}).encode()
                )
            except OSError as exc:
                raise SpoolError(f"cannot note what is lost: {exc.strerror}") from exc
            self._owed = lost

    def close(self) -> None:
        """Make everything durable and close."""
        self.sync()
        with self._lock:
            self._file.close()

    def _new_name(self) -> str:
        name = secrets.token_hex(NAME_BYTES)
        write_atomically(self._directory / NAME, name.encode())
        return name

    def _load(self) -> int:
        """Read every segment; return the last sequence number seen."""
        last, is_torn = 0, False
        for path in segments(self._directory):
            first = int(path.stem)
            # The name of a segment says which number follows the one before it.
            self.lost += max(0, first - 1 - last) if is_torn else 0
            last, is_torn = max(last, first - 1), False
            for body in read_segment(path):
                if body is None:
                    is_torn = True
                    continue
                last = number_of(body)
                self._waiting += last > self._acknowledged
        self.lost += 1 if is_torn else 0
        return last

    def _start_segment(self) -> BinaryIO:
        """Open a fresh segment; what is torn stays in an old one, never appended to."""
        path = segment_path(self._directory, self._last + 1)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            sync_directory(self._directory)
        except OSError:
            # Its name would say that the one before it ends here.
            os.close(descriptor)
            path.unlink()
            raise
        return os.fdopen(descriptor, "wb", buffering=0)

    def _rotate(self) -> None:
        """Go on in a fresh segment; in this one where the disk refuses."""
        fresh = self._start_segment()
        self._file.close()
        self._file = fresh

    def _fill_window(self) -> None:
        """Read more of what waits from the disk."""
        missing = self._window_size - len(self._window)
        found = records_after(self._directory, self._loaded, through=self._durable)
        more = list(islice(found, missing))
        self._window.extend(more)
        # What is torn ends early, and is passed over.
        self._loaded = more[-1][0] if len(more) == missing else self._durable

    def _skip_to(self, through: int) -> None:
        """Pass over what was acknowledged without ever being given out."""
        self._loaded = through
        rest = records_after(self._directory, through, through=self._durable)
        self._waiting = sum(1 for _ in rest)

    def _measured(self) -> int:
        """Return how many bytes the segments take on disk."""
        return sum(path.stat().st_size for path in segments(self._directory))

    def _check_room(self, needed: int) -> None:
        """Refuse what does not fit; once it did not, until much does."""
        wanted = self._segment_bytes if self._is_full else needed
        if self._room < wanted:
            with contextlib.suppress(OSError):
                self._room = room(self._directory, self._size, self.limits)
        self._is_full = self._room < wanted
        if self._is_full:
            raise SpoolError("cannot write evidence: the spool is full")

    def _write(self, data: bytes) -> None:
        """Write all of `data`, or take back what a full disk let through."""
        position = self._file.tell()
        try:
            written = self._file.write(data)
            if written == len(data):
                return
            reason = "the disk is full"
        except OSError as exc:
            reason = exc.strerror or "error"
        with contextlib.suppress(OSError):
            self._file.seek(position)
            self._file.truncate()
        raise SpoolError(f"cannot write evidence: {reason}")

    def _delete_segments(self, through: int) -> None:
        paths = segments(self._directory)
        for path, following in itertools.pairwise(paths):
            if int(following.stem) - 1 <= through:
                path.unlink()


def depth(directory: Path) -> int:
    """Return how many records wait in `directory`, reading only (for `status`)."""
    acknowledged = _number(directory / ACKNOWLEDGED, "through")
    return sum(
        1
        for path in segments(directory)
        for body in read_segment(path)
        if body is not None and number_of(body) > acknowledged
    )


def _name(directory: Path) -> str:
    """Return the name of the spool in `directory`; empty where there is none."""
    try:
        found = (directory / NAME).read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    return found if re.fullmatch(r"[0-9a-f]{32}", found) else ""


def _number(path: Path, name: str) -> int:
    """Return the one number in a file; 0 where nobody knows it any more.

    Records are then sent again, and the portal passes over those it has. Their numbers
    go on all the same: the names of the segments say where.
    """
    try:
        return int(json.loads(path.read_bytes())[name])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0
