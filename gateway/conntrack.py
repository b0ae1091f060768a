"""Connection tracking entries: list those of devices, delete exactly some.

The device is the mark, so the kernel filters. Deletion goes by original tuple and
id: an entry that ended meanwhile is not mistaken for a new one with its tuple,
and what was deleted can be counted.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_address
from typing import Final

from gateway.netlink import (
    NETLINK_NETFILTER,
    NFGENMSG,
    NetlinkSocket,
    attribute,
    attributes,
    nested,
)
from gateway.types import Entry, FlowTuple

SUBSYSTEM: Final = 1 << 8
CT_NEW: Final = SUBSYSTEM | 0
CT_GET: Final = SUBSYSTEM | 1
CT_DELETE: Final = SUBSYSTEM | 2

CTA_TUPLE_ORIG: Final = 1
CTA_TUPLE_REPLY: Final = 2
CTA_MARK: Final = 8
CTA_COUNTERS_ORIG: Final = 9
CTA_COUNTERS_REPLY: Final = 10
CTA_ID: Final = 12
CTA_ZONE: Final = 18
CTA_TIMESTAMP: Final = 20
CTA_MARK_MASK: Final = 21
CTA_TUPLE_IP: Final = 1
CTA_TUPLE_PROTO: Final = 2
CTA_IP_V4_SRC: Final = 1
CTA_IP_V4_DST: Final = 2
CTA_IP_V6_SRC: Final = 3
CTA_IP_V6_DST: Final = 4
CTA_PROTO_NUM: Final = 1
CTA_PROTO_SRC_PORT: Final = 2
CTA_PROTO_DST_PORT: Final = 3
CTA_PROTO_ICMP_ID: Final = 4
CTA_PROTO_ICMPV6_ID: Final = 7
WITH_PORTS: Final = frozenset({6, 17, 33, 132, 136})
"""TCP, UDP, DCCP, SCTP, UDP-Lite."""

MARK: Final = struct.Struct("!I")
WORD: Final = struct.Struct("!I")
HALF: Final = struct.Struct("!H")
LONG: Final = struct.Struct("!Q")
FILTERED_MARKS: Final = 8
"""Up to so many devices are listed with one filtered dump each."""
NO_DEVICE: Final = 0xFFFFFFFF
BATCH: Final = 128
"""Deletions in one send; their acknowledgements fit a default buffer."""


def parse(payload: bytes) -> Entry | None:
    """Return the entry of a ctnetlink message, or None for one without a tuple."""
    found = attributes(payload[NFGENMSG.size :])
    original = found.get(CTA_TUPLE_ORIG)
    parsed = None if original is None else parse_tuple(original)
    if original is None or parsed is None:
        return None
    up = attributes(found.get(CTA_COUNTERS_ORIG, b""))
    down = attributes(found.get(CTA_COUNTERS_REPLY, b""))
    times = attributes(found.get(CTA_TIMESTAMP, b""))
    return Entry(
        id=_number(WORD, found.get(CTA_ID)),
        mark=_number(MARK, found.get(CTA_MARK)),
        tuple=parsed,
        original=original,
        zone=_number(HALF, found.get(CTA_ZONE)),
        packets_up=_number(LONG, up.get(1)),
        bytes_up=_number(LONG, up.get(2)),
        packets_down=_number(LONG, down.get(1)),
        bytes_down=_number(LONG, down.get(2)),
        started_ns=_number(LONG, times.get(1)),
        ended_ns=_number(LONG, times.get(2)),
    )


def parse_tuple(data: bytes) -> FlowTuple | None:
    """Return the tuple in the attributes of a CTA_TUPLE_*, or None."""
    found = attributes(data)
    addresses = attributes(found.get(CTA_TUPLE_IP, b""))
    protocol = attributes(found.get(CTA_TUPLE_PROTO, b""))
    source = addresses.get(CTA_IP_V4_SRC) or addresses.get(CTA_IP_V6_SRC)
    destination = addresses.get(CTA_IP_V4_DST) or addresses.get(CTA_IP_V6_DST)
    number = protocol.get(CTA_PROTO_NUM)
    if source is None or destination is None or number is None:
        return None
    # GRE keeps its key where others keep ports.
    has_ports = number[0] in WITH_PORTS
    icmp_id = protocol.get(CTA_PROTO_ICMP_ID) or protocol.get(CTA_PROTO_ICMPV6_ID)
    return FlowTuple(
        protocol=number[0],
        source=ip_address(source),
        source_port=_half(protocol.get(CTA_PROTO_SRC_PORT)) if has_ports else None,
        destination=ip_address(destination),
        destination_port=_half(protocol.get(CTA_PROTO_DST_PORT)) if has_ports else None,
        icmp_id=_half(icmp_id),
    )


def list_entries(
    marks: Collection[int] | None = None, *, unmarked: bool = False
) -> list[Entry]:
    """Return the entries of these devices, or of all devices (any mark but 0).

    `unmarked` adds what no rule of ours has seen begin.

    Raises:
        NetlinkError: the kernel refused the dump.
    """
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        if marks is not None and len(marks) <= FILTERED_MARKS:
            return [
                entry for mark in marks for entry in _dump(netlink, _mark_filter(mark))
            ]
        return [
            entry
            for entry in _dump(netlink, b"")
            if (entry.mark or unmarked) and (marks is None or entry.mark in marks)
        ]


def evict_expired() -> None:
    """Make the kernel remove what has expired, and so tell of it.

    Its own collector may come a minute later. A dump removes expired entries on its
    way; this one asks for a mark that no device has, so that nothing is copied.
    """
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        for _ in _dump(netlink, _mark_filter(NO_DEVICE)):
            pass


def delete(entries: Sequence[Entry]) -> int:
    """Delete these entries and return how many were still there."""
    cut = 0
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        for start in range(0, len(entries), BATCH):
            batch = entries[start : start + BATCH]
            results = netlink.send(
                tuple((CT_DELETE, 0, _deletion(entry)) for entry in batch)
            )
            cut += results.count(0)
    return cut


def _dump(netlink: NetlinkSocket, mark_filter: bytes) -> Iterator[Entry]:
    payload = NFGENMSG.pack(socket.AF_UNSPEC, 0, 0) + mark_filter
    for body in netlink.dump(CT_GET, payload, what="conntrack dump"):
        entry = parse(body)
        if entry is not None:
            yield entry


def _mark_filter(mark: int) -> bytes:
    return attribute(CTA_MARK, MARK.pack(mark)) + attribute(
        CTA_MARK_MASK, MARK.pack(0xFFFFFFFF)
    )


def _deletion(entry: Entry) -> bytes:
    version = entry.tuple.source.version
    family = socket.AF_INET if version == 4 else socket.AF_INET6  # noqa: PLR2004 -- the IP version
    payload = NFGENMSG.pack(family, 0, 0) + nested(CTA_TUPLE_ORIG, entry.original)
    if entry.zone:
        payload += attribute(CTA_ZONE, HALF.pack(entry.zone))
    return payload + attribute(CTA_ID, WORD.pack(entry.id))


def _number(layout: struct.Struct, data: bytes | None) -> int:
    return 0 if data is None else int(layout.unpack(data)[0])


def _half(data: bytes | None) -> int | None:
    return None if data is None else int(HALF.unpack(data)[0])
