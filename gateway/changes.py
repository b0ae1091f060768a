"""The kernel's own word that somebody changed the ruleset: who, and what of it.

* nf_tables announces every transaction to its multicast group, one message for each
  object, and NEWGEN at the end with the name and the number of the process.
* The header of each message carries the port of the socket that asked. Ports are the
  kernel's to give, one socket each, so nobody can pass for this program; what did not
  come from a socket of this program is foreign.
* The table itself is never deleted by this program: its deletion is always foreign.
* Messages that were thrown away are a change that nobody knows anything about.

Layouts: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.counters import accepting
from gateway.netlink import (
    HEADER,
    NETLINK_NETFILTER,
    NFGENMSG,
    NetlinkSocket,
    attributes,
)
from gateway.types import ForeignChange

OWN_FILES: Final = Path("/proc/self/fd")
CHANGES_GROUP: Final = 7  # NFNLGRP_NFTABLES
RECEIVE_BUFFER: Final = 32 << 20
"""A generation for 10,000 devices announces as many elements."""
SUBSYSTEM: Final = 10  # NFNL_SUBSYS_NFTABLES
NEWRULE: Final = 6
DELTABLE: Final = 2
DELRULE: Final = 8
NEWGEN: Final = 15
GEN_PROC_PID: Final = 2
GEN_PROC_NAME: Final = 3
NAMES: Final = {
    0: "table added",
    DELTABLE: "table deleted",
    3: "chain added",
    5: "chain deleted",
    NEWRULE: "rule added",
    DELRULE: "rule deleted",
    9: "set added",
    11: "set deleted",
    12: "element added",
    14: "element deleted",
    18: "object added",
    20: "object deleted",
    22: "flowtable added",
    24: "flowtable deleted",
}
WITH_HANDLE: Final = frozenset({NEWRULE, DELRULE})
MAX_PHRASES: Final = 8
"""Of one transaction; the rest is a number."""


@dataclass(slots=True)
class _Transaction:
    """What one transaction did to our table, as far as its messages have come."""

    phrases: list[str] = field(default_factory=list)
    rules: list[tuple[str, int]] = field(default_factory=list)
    more: int = 0
    is_flush: bool = False

    def add(self, phrase: str) -> None:
        if phrase in self.phrases:
            return
        if len(self.phrases) < MAX_PHRASES:
            self.phrases.append(phrase)
        else:
            self.more += 1


class Changes:
    """The announcements of changes to one table that this program did not make."""

    def __init__(
        self,
        table: str,
        *,
        finished: Callable[[int, int], None],
        own_ports: Callable[[], frozenset[int]] | None = None,
    ) -> None:
        """Subscribe; `own_ports` lists the netlink ports of this program.

        `finished` hears the handle and the last count of each accepting rule that is
        deleted, by whomever.
        """
        self._finished = finished
        self._table = table.encode("ascii")
        self._own_ports = own_ports or netlink_ports
        self._own: frozenset[int] = frozenset()
        self._open: dict[int, _Transaction] = {}
        self._socket = NetlinkSocket(NETLINK_NETFILTER, receive_buffer=RECEIVE_BUFFER)
        self._socket.join(CHANGES_GROUP)
        self._socket.set_blocking(blocking=False)

    def wait(self, seconds: float) -> list[ForeignChange]:
        """Return foreign changes as soon as there are some, or after `seconds`."""
        if not select.select([self._socket], [], [], seconds)[0]:
            return []
        return list(self._arrived())

    def close(self) -> None:
        """Unsubscribe."""
        self._socket.close()

    def _arrived(self) -> Iterator[ForeignChange]:
        while True:
            try:
                data = self._socket.receive()
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    raise
                yield ForeignChange(what=("announcements were lost",))
                continue
            yield from self.read(data)

    def read(self, data: bytes) -> Iterator[ForeignChange]:
        """Yield the foreign transactions that end in this datagram."""
        offset, end = 0, len(data)
        while offset + HEADER.size <= end:
            length, kind, _, _, port = HEADER.unpack_from(data, offset)
            if length < HEADER.size or offset + length > end:
                return
            body = data[offset + HEADER.size : offset + length]
            offset += (length + 3) & ~3
            if kind >> 8 == SUBSYSTEM:
                yield from self._message(kind & 0xFF, port, body)

    def _message(self, kind: int, port: int, body: bytes) -> Iterator[ForeignChange]:
        if kind == NEWGEN:
            done = self._open.pop(port, None)
            if done is not None:
                yield _foreign(done, attributes(body[NFGENMSG.size :]))
            return
        is_own = kind != DELTABLE and self._is_own(port)
        if kind not in NAMES or (is_own and kind != DELRULE):
            return
        found = attributes(body[NFGENMSG.size :])
        # Every object names its table first (NFTA_*_TABLE, NFTA_TABLE_NAME).
        if found.get(1, b"").rstrip(b"\0") != self._table:
            return
        if kind == DELRULE and (rule := accepting(found)) is not None:
            self._finished(*rule)
        if is_own:
            return
        transaction = self._open.setdefault(port, _Transaction())
        name = _printable(found.get(2, b"")) if kind > DELTABLE else ""
        phrase = f"{NAMES[kind]} {name}".strip()
        if kind in WITH_HANDLE:
            handle = int.from_bytes(found.get(3, b""))
            phrase += f" handle {handle}"
            if kind == NEWRULE and len(transaction.rules) < MAX_PHRASES:
                transaction.rules.append((name, handle))
        transaction.is_flush |= kind == DELTABLE
        transaction.add(phrase)

    def _is_own(self, port: int) -> bool:
        if port not in self._own:
            self._own = self._own_ports()
        return port in self._own


def netlink_ports() -> frozenset[int]:
    """Return the ports of this process's netlink sockets, libnftables' included."""
    ports = set()
    for descriptor in map(int, (path.name for path in OWN_FILES.iterdir())):
        # One that is closed meanwhile is not one of ours.
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as duplicate:
                if duplicate.family == socket.AF_NETLINK:
                    ports.add(int(duplicate.getsockname()[0]))
    return frozenset(ports)


def _foreign(done: _Transaction, generation: dict[int, bytes]) -> ForeignChange:
    name = _printable(generation.get(GEN_PROC_NAME, b""))
    number = int.from_bytes(generation.get(GEN_PROC_PID, b""))
    if done.is_flush:
        # Everything in it was deleted with it, and says no more than that.
        what = [NAMES[DELTABLE]]
    else:
        what = done.phrases + ([f"and {done.more} more"] if done.more else [])
    return ForeignChange(
        what=tuple(what),
        by=f"{name} pid {number}" if name else "",
        rules=tuple(done.rules),
        is_flush=done.is_flush,
    )


def _printable(name: bytes) -> str:
    """Return a name that others chose, fit for a record."""
    word = name.rstrip(b"\0").decode("ascii", errors="replace")
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in word)
