"""A table of flows that is full: entries as if people had talked for long.

`nf_conntrack_max` belongs to the whole machine, so a test in a namespace of its own
does not lower it; it puts so many entries into its own table. They are *assured*, as
flows are whose answer came: the kernel ends others first when it needs room.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Final

from gateway import conntrack
from gateway.netlink import (
    HEADER,
    NETLINK_NETFILTER,
    NFGENMSG,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    attribute,
    nested,
)

CTA_STATUS: Final = 3
CTA_TIMEOUT: Final = 7
ASSURED: Final = 2 | 4 | 8
"""IPS_SEEN_REPLY, IPS_ASSURED, IPS_CONFIRMED (nf_conntrack_common.h)."""
UDP: Final = 17
AT_ONCE: Final = 200
SWITCHES: Final = Path("/proc/sys/net/netfilter")


def most() -> int:
    """Return how many entries the table takes."""
    return int((SWITCHES / "nf_conntrack_max").read_text())


def entries() -> int:
    """Return how many it holds."""
    return int((SWITCHES / "nf_conntrack_count").read_text())


def fill(first: int, last: int, *, seconds: int) -> None:
    """Put entries number `first` to `last` in, each for so many seconds."""
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    with netlink:
        for start in range(first, last, AT_ONCE):
            numbers = range(start, min(last, start + AT_ONCE))
            # Nobody asks for answers; a table that is full refuses, as it should.
            netlink.send(b"".join(_insertion(n, seconds) for n in numbers))


def _insertion(number: int, seconds: int) -> bytes:
    there = struct.pack("!I", 0xC6120000 + (number >> 14))
    port = 1024 + (number & 0x3FFF)
    payload = NFGENMSG.pack(socket.AF_INET, 0, 0)
    payload += nested(conntrack.CTA_TUPLE_ORIG, _tuple(HERE, there, port, 9))
    payload += nested(conntrack.CTA_TUPLE_REPLY, _tuple(there, HERE, 9, port))
    payload += attribute(CTA_STATUS, struct.pack("!I", ASSURED))
    payload += attribute(CTA_TIMEOUT, struct.pack("!I", seconds))
    length = HEADER.size + len(payload)
    flags = NLM_F_REQUEST | NLM_F_CREATE
    return HEADER.pack(length, conntrack.CT_NEW, flags, 0, 0) + payload


HERE: Final = socket.inet_aton("192.0.2.1")


def _tuple(source: bytes, target: bytes, port: int, other: int) -> bytes:
    addresses = attribute(conntrack.CTA_IP_V4_SRC, source)
    addresses += attribute(conntrack.CTA_IP_V4_DST, target)
    protocol = attribute(conntrack.CTA_PROTO_NUM, bytes([UDP]))
    protocol += attribute(conntrack.CTA_PROTO_SRC_PORT, struct.pack("!H", port))
    protocol += attribute(conntrack.CTA_PROTO_DST_PORT, struct.pack("!H", other))
    return nested(conntrack.CTA_TUPLE_IP, addresses) + nested(
        conntrack.CTA_TUPLE_PROTO, protocol
    )
