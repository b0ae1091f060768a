"""Control totals: what the kernel counted against what was logged, for ever.

    accepted = logged + lost + told

`accepted` is the kernel's count of packets that an accepting rule let begin a flow,
`logged` the messages of that group that arrived, `lost` those whose number was missing
(told at once), `told` those found missing here. Nothing is forgotten: a difference that
cannot be seen exactly in the middle of traffic is seen in the next quiet moment, and a
reader that was stopped or dead is found out when it runs again.

* The kernel is read first, then waited for until what it had logged by then must have
  arrived. So never more is missing than is told, and in quiet exactly as much.
* The sums of this side lie in a mapped file: they survive the process, whatever ends
  it. A reboot begins the kernel's counters anew, and those of rules that were replaced
  unseen are made up for as soon as it is quiet.

The file is private to this gateway; who owns the machine can forge it (ADR 0023).
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.store import write_atomically

SUMS: Final = "totals.bin"
SEEN: Final = "totals.json"
LAYOUT: Final = struct.Struct("<QQQQ")
LOOK_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 0.15
"""The kernel holds a message back for 20 ms; the rest is room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """All since `since`, a name for the time before which nothing is known."""

    since: str
    accepted: int
    logged: int
    lost: int
    opened: int


@dataclass(frozen=True, slots=True)
class _Reading:
    accepted: int
    known: int
    ticks: float


class Totals:
    """The sums of one gateway; used by the collector's thread alone."""

    def __init__(
        self,
        directory: Path,
        *,
        read: Callable[[], Mapping[int, int]],
        boot_id: str,
        clock: Clock,
    ) -> None:
        """Go on where an earlier run ended; `read` gives packets by rule.

        Raises:
            StoreError: the files cannot be used.
        """
        self._read = read
        self._boot_id = boot_id
        self._clock = clock
        self._path = directory / SEEN
        self._since = ""
        self._finished = 0
        self._seen: dict[int, int] = {}
        try:
            self._map = _mapped(directory / SUMS)
            self._load()
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise StoreError(f"{directory}: the control totals are damaged") from exc
        sums: tuple[int, int, int, int] = LAYOUT.unpack_from(self._map)
        self._logged, self._lost, self._told, self._opened = sums
        self._reading: _Reading | None = None
        self._due = 0.0

    def logged(self, *, lost: int) -> None:
        """Note a message of the log, and how many were missing before it."""
        self._logged += 1
        self._lost += lost
        self._keep()

    def opened(self) -> None:
        """Note that the beginning of a flow was recorded."""
        self._opened += 1
        self._keep()

    def sums(self) -> Sums:
        """Return the sums as of the last reading."""
        return Sums(
            since=self._since,
            accepted=self._finished + sum(self._seen.values()),
            logged=self._logged,
            lost=self._lost + self._told,
            opened=self._opened,
        )

    def step(self, taken_at: float) -> int | None:
        """Read, or compare with what was read; return how many were found missing.

        None while nothing was compared. `taken_at` are the ticks at which everything
        that had arrived has been taken since.

        Raises:
            NetlinkError: the kernel refused to be read.
            OSError: what was found cannot be kept.
        """
        if self._reading is None:
            if taken_at >= self._due:
                accepted = self._accepted()
                self._reading = _Reading(accepted, self._known(), self._clock.ticks())
            return None
        if taken_at - self._reading.ticks < SETTLE_SECONDS:
            return None
        return self._compared(self._reading)

    def close(self) -> None:
        """Keep everything."""
        self._save()
        self._map.flush()
        self._map.close()

    def _compared(self, reading: _Reading) -> int:
        self._reading = None
        self._due = reading.ticks + LOOK_SECONDS
        missing = reading.accepted - self._known()
        if missing > 0:
            self._told += missing
            self._keep()
        elif missing < 0 and reading.known == self._known():
            # Nothing moved meanwhile: a counter went before it was read for the last
            # time. It must not hide what is lost later.
            self._finished -= missing
        self._save()
        return max(missing, 0)

    def _known(self) -> int:
        return self._logged + self._lost + self._told

    def _accepted(self) -> int:
        now = dict(self._read())
        for handle, packets in self._seen.items():
            if packets > now.get(handle, -1):
                # A rule that is gone, or its number in another table.
                self._finished += packets
        self._seen = now
        return self._finished + sum(now.values())

    def _load(self) -> None:
        if self._path.exists():
            found = json.loads(self._path.read_bytes())
            self._since = str(found["since"])
            self._finished = int(found["finished"])
            seen = {int(h): int(p) for h, p in found["seen"].items()}
            if found["boot_id"] != self._boot_id:
                self._finished += sum(seen.values())
                seen = {}
            self._seen = seen
        else:
            self._since = os.urandom(8).hex()
            # Sums without what they are compared with are of no use.
            self._map[:] = bytes(LAYOUT.size)
            self._seen = dict(self._read())
            self._finished = -sum(self._seen.values())
            self._save()

    def _save(self) -> None:
        document = {
            "since": self._since,
            "boot_id": self._boot_id,
            "finished": self._finished,
            "seen": self._seen,
        }
        write_atomically(self._path, json.dumps(document).encode())

    def _keep(self) -> None:
        LAYOUT.pack_into(
            self._map, 0, self._logged, self._lost, self._told, self._opened
        )


def _mapped(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, LAYOUT.size)
        return mmap.mmap(descriptor, LAYOUT.size)
    finally:
        os.close(descriptor)
