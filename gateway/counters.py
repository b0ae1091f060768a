"""How many packets the accepting rules have counted: the kernel's own total.

Each rule that accepts counts and logs (group 41) in the same evaluation, so the sum of
the counters is what the log should have brought. A rule that is replaced takes its
counter along; the kernel announces deleted rules whole, and `finish` keeps the last
count of each until it is read.

Layouts: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Mapping
from typing import Final

from gateway.events import ACCEPT_GROUP
from gateway.netlink import (
    ATTRIBUTE,
    NETLINK_NETFILTER,
    NFGENMSG,
    NLA_TYPE_MASK,
    NetlinkSocket,
    attribute,
    attributes,
)

GET_RULE: Final = 10 << 8 | 7
RULE_TABLE: Final = 1
RULE_HANDLE: Final = 3
RULE_EXPRESSIONS: Final = 4
EXPRESSION_NAME: Final = 1
EXPRESSION_DATA: Final = 2
COUNTER_PACKETS: Final = 2
LOG_GROUP: Final = 1
INET: Final = 1  # NFPROTO_INET
COUNT: Final = struct.Struct("!Q")


class Accepted:
    """The counters of one table; safe to share between threads."""

    def __init__(self, table: str) -> None:
        """Count the accepting rules of `table`."""
        self._table = table
        self._lock = threading.Lock()
        self._finished: dict[int, int] = {}

    def finish(self, handle: int, packets: int) -> None:
        """Hear of a rule that was deleted and what it had counted."""
        with self._lock:
            self._finished[handle] = packets

    def read(self) -> Mapping[int, int]:
        """Return packets by the handle of the rule; of rules just deleted, too.

        Raises:
            NetlinkError: the kernel refused.
        """
        found = read_accepted(self._table)
        with self._lock:
            # One that was deleted after the listing is in both: the later counts.
            found |= self._finished
            self._finished.clear()
        return found


def read_accepted(table: str) -> dict[int, int]:
    """Return the packets of every accepting rule of an `inet` table, by handle.

    Raises:
        NetlinkError: the kernel refused.
    """
    payload = NFGENMSG.pack(INET, 0, 0)
    payload += attribute(RULE_TABLE, table.encode("ascii") + b"\0")
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        rules = [
            accepting(attributes(body[NFGENMSG.size :]))
            for body in netlink.dump(GET_RULE, payload, what=f"rules of {table}")
        ]
    return dict(rule for rule in rules if rule is not None)


def accepting(rule: Mapping[int, bytes]) -> tuple[int, int] | None:
    """Return handle and packets of a rule that logs what it accepts, or None."""
    packets, is_logged = 0, False
    for expression in _parts(rule.get(RULE_EXPRESSIONS, b"")):
        found = attributes(expression)
        name = found.get(EXPRESSION_NAME, b"").rstrip(b"\0")
        if name == b"counter":
            data = attributes(found.get(EXPRESSION_DATA, b""))
            packets = COUNT.unpack(data.get(COUNTER_PACKETS, bytes(8)))[0]
        elif name == b"log":
            data = attributes(found.get(EXPRESSION_DATA, b""))
            is_logged = int.from_bytes(data.get(LOG_GROUP, b"")) == ACCEPT_GROUP
    if not is_logged:
        return None
    return int.from_bytes(rule.get(RULE_HANDLE, b"")), packets


def _parts(data: bytes) -> Iterator[bytes]:
    """Yield the payloads of attributes of one kind, in order."""
    offset = 0
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size:
            return
        if kind & NLA_TYPE_MASK == 1:
            yield data[offset + ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
