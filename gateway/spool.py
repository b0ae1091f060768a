"""The evidence spool: records survive the agent until the portal has signed for them.

* Append-only segment files, named after the first sequence number they may hold;
  each record is its length, its CRC-32 and its JSON.
* A record is durable after `sync` (the agent calls it every 200 ms); only durable
  records are given out.
* A segment is deleted only when `acknowledge` says that the portal has all of it.
* The sequence goes on across restarts and never repeats.
* A random name tells this spool from any other that ever was on this gateway: one that
  was deleted, or that came from a backup and counts on from old numbers (ADR-0020).
* A torn or damaged piece is skipped and counted in `lost`, never passed on.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import secrets
import struct
import threading
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from gateway.errors import SpoolError
from gateway.store import sync_directory, write_atomically

HEADER: Final = struct.Struct("!II")
MAX_RECORD_BYTES: Final = 8192
SEGMENT_BYTES: Final = 4 << 20
SUFFIX: Final = ".seg"
ACKNOWLEDGED: Final = "acknowledged.json"
NAME: Final = "name"
NAME_BYTES: Final = 16


class Spool:
    """A directory of segments with one writer; safe to share between threads."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Open the spool, reading what an earlier run left.

        Raises:
            SpoolError: the directory cannot be used.
        """
        self.lost = 0
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._written: list[tuple[int, bytes]] = []
        self._durable: deque[tuple[int, bytes]] = deque()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.name = _name(directory) or self._new_name()
            self._acknowledged = _acknowledged(directory)
            self._last = max(self._acknowledged, self._load())
            self._file = self._start_segment()
        except OSError as exc:
            raise SpoolError(f"{directory}: {exc.strerror}") from exc

    @property
    def last(self) -> int:
        """The last sequence number given."""
        return self._last

    @property
    def depth(self) -> int:
        """How many records the portal has not signed for."""
        return len(self._durable) + len(self._written)

    @property
    def size(self) -> int:
        """How many bytes the segments take on disk."""
        total = 0
        for path in segments(self._directory):
            # One may be acknowledged and deleted meanwhile.
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

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
            SpoolError: the disk is full or gone, or the record is too long; the
                sequence number is then not used.
        """
        with self._lock:
            sequence = self._last + 1
            body = json.dumps(
                {"seq": sequence, **record}, separators=(",", ":")
            ).encode()
            if len(body) > MAX_RECORD_BYTES:
                raise SpoolError(f"a record of {len(body)} bytes is too long")
            self._write(HEADER.pack(len(body), zlib.crc32(body)) + body)
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
                    self._file.close()
                    self._file = self._start_segment()
            except OSError as exc:
                raise SpoolError(f"cannot make evidence durable: {exc}") from exc
            count = len(self._written)
            self._durable.extend(self._written)
            self._written.clear()
            return count

    def batch(self, limit: int) -> list[tuple[int, bytes]]:
        """Return the oldest durable records that are not acknowledged, with numbers."""
        with self._lock:
            return [self._durable[i] for i in range(min(limit, len(self._durable)))]

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
                while self._durable and self._durable[0][0] <= through:
                    self._durable.popleft()
                self._delete_segments(through)
            except OSError as exc:
                raise SpoolError(f"cannot forget evidence: {exc.strerror}") from exc

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
            for body in _records(path):
                if body is None:
                    is_torn = True
                    continue
                last = int(json.loads(body)["seq"])
                if last > self._acknowledged:
                    self._durable.append((last, body))
        self.lost += 1 if is_torn else 0
        return last

    def _start_segment(self) -> BinaryIO:
        """Open a fresh segment; what is torn stays in an old one, never appended to."""
        path = self._directory / f"{self._last + 1:020d}{SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        sync_directory(self._directory)
        return os.fdopen(descriptor, "wb", buffering=0)

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


def segments(directory: Path) -> list[Path]:
    """Return the segments in `directory`, oldest first."""
    return sorted(p for p in directory.glob(f"*{SUFFIX}") if p.stem.isdigit())


def depth(directory: Path) -> int:
    """Return how many records wait in `directory`, reading only (for `status`)."""
    acknowledged = _acknowledged(directory)
    return sum(
        1
        for path in segments(directory)
        for body in _records(path)
        if body is not None and int(json.loads(body)["seq"]) > acknowledged
    )


def _name(directory: Path) -> str:
    """Return the name of the spool in `directory`; empty where there is none."""
    try:
        found = (directory / NAME).read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    return found if re.fullmatch(r"[0-9a-f]{32}", found) else ""


def _acknowledged(directory: Path) -> int:
    """Return what the portal has signed for; 0 where nobody knows any more.

    Records are then sent again, and the portal passes over those it has. Numbers go on
    all the same: the names of the segments say where.
    """
    try:
        return int(json.loads((directory / ACKNOWLEDGED).read_bytes())["through"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0


def _records(path: Path) -> Iterator[bytes | None]:
    """Yield the records of a segment; None once, where it is torn or damaged."""
    data = path.read_bytes()
    offset = 0
    while offset < len(data):
        if offset + HEADER.size > len(data):
            yield None
            return
        length, checksum = HEADER.unpack_from(data, offset)
        body = data[offset + HEADER.size : offset + HEADER.size + length]
        if len(body) < length or zlib.crc32(body) != checksum:
            yield None
            return
        yield body
        offset += HEADER.size + length
