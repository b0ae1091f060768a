"""Changes of elements as netlink messages: what revokes or admits one device. Pure.

libnftables lists every chain and set of the table before it adds one element; with
2,000 applications that takes a hundred times as long as the change. Rules kept here:

* Only elements of plain hash sets and maps: keys of one part, no intervals, no
  verdicts. All else is text for libnftables; `is_plain` says which it is.
* The meaning is that of `delta.transaction`: one batch, deletions before additions;
  what may have ended by itself is added before it is deleted, because deleting what
  is absent fails the batch; what has ended already is not added.

Layouts: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from gateway.netlink import (
    NFGENMSG,
    NLM_F_CREATE,
    attribute,
    nested,
)
from policies.compiler.delta import ElementChange, milliseconds_left
from policies.compiler.tables import Element, table_name

SUBSYSTEM: Final = 10  # NFNL_SUBSYS_NFTABLES
NEW_ELEMENTS: Final = SUBSYSTEM << 8 | 12  # NFT_MSG_NEWSETELEM
DELETE_ELEMENTS: Final = SUBSYSTEM << 8 | 14  # NFT_MSG_DELSETELEM
INET: Final = 1  # NFPROTO_INET

LIST_TABLE: Final = 1  # NFTA_SET_ELEM_LIST_TABLE
LIST_SET: Final = 2
LIST_ELEMENTS: Final = 3
LIST_ELEMENT: Final = 1  # NFTA_LIST_ELEM
KEY: Final = 1  # NFTA_SET_ELEM_KEY
DATA: Final = 2
TIMEOUT: Final = 4
VALUE: Final = 1  # NFTA_DATA_VALUE

NUMBER: Final = struct.Struct("=I")
MILLISECONDS: Final = struct.Struct("!Q")
NAME_BYTES: Final = 16  # IFNAMSIZ

AT_ONCE: Final = 500
"""Elements in one message: an attribute is at most 65,535 bytes long."""

MOST: Final = 1_000
"""Changes in one batch, which has to fit a socket's buffer; more is a load."""


def _number(text: str) -> bytes:
    return NUMBER.pack(int(text))


def _name(text: str) -> bytes:
    return text.strip('"').encode("ascii").ljust(NAME_BYTES, b"\0")


_BYTES: Final[Mapping[str, Callable[[str], bytes]]] = {
    "mark": _number,
    "ipv4_addr": lambda text: IPv4Address(text).packed,
    "ipv6_addr": lambda text: IPv6Address(text).packed,
    "ifname": _name,
}
"""What a key or a datum of each type is in the kernel's registers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One message of the batch; `what` says what it asks, for an error."""

    kind: int
    flags: int
    payload: bytes
    what: str


def is_plain(changes: Iterable[ElementChange]) -> bool:
    """Return whether these changes can be said here: few, and in plain hash sets."""
    total = 0
    for change in changes:
        named = change.named
        if named.key_type not in _BYTES or named.data_type not in {"", "mark"}:
            return False
        if not set(named.flags) <= {"timeout"}:
            return False
        total += len(change.removed) * (2 if named.is_timed else 1) + len(change.added)
    return total <= MOST


def requests(
    changes: Sequence[ElementChange], *, interface: str, now: datetime
) -> tuple[Request, ...]:
    """Return the batch that makes these changes in the interface's table."""
    table = table_name(interface)
    tightened = (r for change in changes for r in _removals(table, change))
    loosened = (r for change in changes for r in _additions(table, change, now=now))
    return (*tightened, *loosened)


def _removals(table: str, change: ElementChange) -> Iterator[Request]:
    """Delete elements, also those that the kernel may have ended meanwhile."""
    if change.named.is_timed:
        back = [_element(change, element) for element in change.removed]
        yield from _messages(table, change, NEW_ELEMENTS, back)
    keys = [nested(LIST_ELEMENT, _key(change, element)) for element in change.removed]
    yield from _messages(table, change, DELETE_ELEMENTS, keys)


def _additions(
    table: str, change: ElementChange, *, now: datetime
) -> Iterator[Request]:
    """Add the elements that have not ended."""
    left = ((e, milliseconds_left(e, now=now)) for e in change.added)
    written = [_element(change, e, timeout=ms) for e, ms in left if ms != 0]
    yield from _messages(table, change, NEW_ELEMENTS, written)


def _messages(
    table: str, change: ElementChange, kind: int, elements: Sequence[bytes]
) -> Iterator[Request]:
    """Yield the messages that add or delete these elements."""
    name = change.named.name
    head = NFGENMSG.pack(INET, 0, 0)
    head += attribute(LIST_TABLE, table.encode("ascii") + b"\0")
    head += attribute(LIST_SET, name.encode("ascii") + b"\0")
    added = kind == NEW_ELEMENTS
    for start in range(0, len(elements), AT_ONCE):
        some = elements[start : start + AT_ONCE]
        yield Request(
            kind=kind,
            flags=NLM_F_CREATE if added else 0,
            payload=head + nested(LIST_ELEMENTS, b"".join(some)),
            what=f"{'add' if added else 'delete'} {len(some)} of {name}",
        )


def _element(
    change: ElementChange, element: Element, *, timeout: int | None = None
) -> bytes:
    """Return an element with its data and its time."""
    written = _key(change, element)
    if change.named.data_type:
        datum = _BYTES[change.named.data_type](element.data)
        written += nested(DATA, attribute(VALUE, datum))
    if timeout is not None:
        written += attribute(TIMEOUT, MILLISECONDS.pack(timeout))
    return nested(LIST_ELEMENT, written)


def _key(change: ElementChange, element: Element) -> bytes:
    key = _BYTES[change.named.key_type](element.key)
    return nested(KEY, attribute(VALUE, key))
