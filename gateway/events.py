"""What the kernel reports about connections: NFLOG and conntrack, by own readers.

* Group 41 carries the first packet of each accepted flow, group 42 each denied
  packet; the prefix says which grant or which reason.
* Conntrack DESTROY carries the final counters and both times of a flow.
* Receive buffers are forced to 32 MiB: with the default a burst of 20,000 flows
  lost a sixth. NFLOG numbers its messages, so a loss is counted exactly.

Layouts: linux/netfilter/nfnetlink_log.h, nfnetlink_conntrack.h; parsed by struct.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
from collections import deque
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from gateway import conntrack
from gateway.conntrack import WITH_PORTS
from gateway.errors import NetlinkError
from gateway.netlink import (
    NETLINK_NETFILTER,
    NFGENMSG,
    NetlinkSocket,
    attribute,
    attributes,
    messages,
)
from gateway.types import Entry, FlowTuple, Logged, Overrun

ACCEPT_GROUP: Final = 41
DROP_GROUP: Final = 42
RECEIVE_BUFFER: Final = 32 << 20
QUEUE_THRESHOLD: Final = 32
MOST_AT_ONCE: Final = 4096
"""Ends in one reading: records become durable in between."""
MOST_LOGS: Final = MOST_AT_ONCE // QUEUE_THRESHOLD
"""Datagrams of logs in one reading, each of so many messages at most."""
MOST_WAITING: Final = 1 << 18
"""Datagrams of a kind that wait here; beyond it the kernel's buffers fill up."""
TAKE_EVERY: Final = 64
COPY_BYTES: Final = 96
DESTROY_GROUP: Final = 3  # NFNLGRP_CONNTRACK_DESTROY

ULOG: Final = 4 << 8
ULOG_PACKET: Final = ULOG | 0
ULOG_CONFIG: Final = ULOG | 1
NFULA_CFG_CMD: Final = 1
NFULA_CFG_MODE: Final = 2
NFULA_CFG_TIMEOUT: Final = 4
NFULA_CFG_QTHRESH: Final = 5
NFULA_CFG_FLAGS: Final = 6
NFULNL_CFG_CMD_BIND: Final = 1
NFULNL_COPY_PACKET: Final = 2
NFULNL_CFG_F_SEQ: Final = 1
NFULNL_CFG_F_CONNTRACK: Final = 4
NFULA_PAYLOAD: Final = 9
NFULA_PREFIX: Final = 10
NFULA_SEQ: Final = 12
NFULA_CT: Final = 18
FLUSH_CENTISECONDS: Final = 2

IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
IPV6: Final = struct.Struct("!IHBB16s16s")
PORTS: Final = struct.Struct("!HH")
EXTENSIONS: Final = frozenset({0, 43, 44, 60})
FRAGMENT: Final = 44
IP_VERSION_6: Final = 6
ICMP: Final = 1
ICMPV6: Final = 58
ECHO_REQUESTS: Final = frozenset({8, 128})


class EventReader:
    """Both NFLOG groups and conntrack DESTROY behind one `read`."""

    def __init__(self) -> None:
        """Open and subscribe.

        Raises:
            NetlinkError: a group is taken by another listener, or not permitted.
        """
        self._selector = selectors.DefaultSelector()
        self._expected: dict[int, int] = {}
        self._ends: deque[bytes | None] = deque()
        self._logged: deque[tuple[int, bytes | None]] = deque()
        self._is_drained = True
        self._logs = {_open_log(group): group for group in (ACCEPT_GROUP, DROP_GROUP)}
        self._conntrack = NetlinkSocket(
            NETLINK_NETFILTER, receive_buffer=RECEIVE_BUFFER
        )
        self._conntrack.join(DESTROY_GROUP)
        for reader in (*self._logs, self._conntrack):
            reader.set_blocking(blocking=False)
            self._selector.register(reader, selectors.EVENT_READ)

    @property
    def is_drained(self) -> bool:
        """Whether everything was given out that had arrived when `read` began."""
        return self._is_drained

    def read(self, timeout: float) -> Iterator[Logged | Entry | Overrun]:
        """Yield what arrives within `timeout` seconds, so many messages at most.

        Ends come before logs: a tuple that is used again ends before it begins. While
        they are looked at, what arrives is taken out of the kernel's buffers, which
        hold two seconds of a busy gateway.
        """
        if not self._ends and not self._logged:
            self._selector.select(timeout)
        self._take()
        ends, logs = len(self._ends), len(self._logged)
        self._is_drained = ends <= MOST_AT_ONCE and logs <= MOST_LOGS
        for number in range(min(ends, MOST_AT_ONCE)):
            data = self._ends.popleft()
            yield from [Overrun(source="conntrack")] if data is None else _ended(data)
            if not number % TAKE_EVERY:
                self._take()
        for _ in range(min(logs, MOST_LOGS)):
            group, data = self._logged.popleft()
            if data is None:
                yield Overrun(source="nflog")
            else:
                yield from self._parsed(data, group)
            self._take()

    def _take(self) -> None:
        """Move what has arrived from the kernel's buffers here, unless it is full."""
        if len(self._ends) < MOST_WAITING:
            self._ends.extend(self._drain(self._conntrack))
        if len(self._logged) < MOST_WAITING:
            for reader, group in self._logs.items():
                self._logged.extend((group, data) for data in self._drain(reader))

    def close(self) -> None:
        """Unsubscribe."""
        self._selector.close()
        for reader in (*self._logs, self._conntrack):
            reader.close()

    @staticmethod
    def _drain(reader: NetlinkSocket) -> Iterator[bytes | None]:
        """Yield datagrams until none is waiting; None stands for an overrun."""
        while True:
            try:
                yield reader.receive()
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    raise
                yield None

    def _parsed(self, data: bytes, group: int) -> Iterator[Logged]:
        for kind, _, _, payload in messages(data):
            if kind != ULOG_PACKET:
                continue
            found = attributes(payload[NFGENMSG.size :])
            lost = self._lost(group, found.get(NFULA_SEQ))
            entry = attributes(found.get(NFULA_CT, b""))
            yield Logged(
                group=group,
                prefix=found.get(NFULA_PREFIX, b"").rstrip(b"\0").decode("ascii"),
                tuple=packet_tuple(found.get(NFULA_PAYLOAD, b"")),
                mark=_word(entry.get(conntrack.CTA_MARK)),
                lost=lost,
            )

    def _lost(self, group: int, data: bytes | None) -> int:
        """Return how many numbers are missing before this one."""
        if data is None:
            return 0
        number = _word(data)
        # The kernel numbers from 0 for whoever binds to the group.
        expected = self._expected.get(group, 0)
        self._expected[group] = (number + 1) & 0xFFFFFFFF
        return (number - expected) & 0xFFFFFFFF


def packet_tuple(packet: bytes) -> FlowTuple | None:
    """Return the 5-tuple of the start of an IP packet, or None if it has none."""
    try:
        if packet[0] >> 4 == IP_VERSION_6:
            return _tuple6(packet)
        return _tuple4(packet)
    except (IndexError, struct.error):
        return None


def _tuple4(packet: bytes) -> FlowTuple:
    fields = IPV4.unpack_from(packet)
    version_length, fragment, protocol = fields[0], fields[4], fields[6]
    first = not fragment & 0x1FFF
    offset = (version_length & 15) * 4
    source_port, destination_port = _ports(packet, offset, protocol if first else 0)
    return FlowTuple(
        protocol=protocol,
        source=IPv4Address(fields[8]),
        source_port=source_port,
        destination=IPv4Address(fields[9]),
        destination_port=destination_port,
        icmp_id=_icmp_id(packet, offset) if protocol == ICMP and first else None,
    )


def _tuple6(packet: bytes) -> FlowTuple:
    _, _, protocol, _, source, destination = IPV6.unpack_from(packet)
    offset, first = IPV6.size, True
    # RFC 8200 §4: extension headers stand between the address and the ports.
    while protocol in EXTENSIONS and offset + 8 <= len(packet):
        length = 8 if protocol == FRAGMENT else (packet[offset + 1] + 1) * 8
        if protocol == FRAGMENT:
            first = not int.from_bytes(packet[offset + 2 : offset + 4]) >> 3
        protocol, offset = packet[offset], offset + length
    source_port, destination_port = _ports(packet, offset, protocol if first else 0)
    return FlowTuple(
        protocol=protocol,
        source=IPv6Address(source),
        source_port=source_port,
        destination=IPv6Address(destination),
        destination_port=destination_port,
        icmp_id=_icmp_id(packet, offset) if protocol == ICMPV6 and first else None,
    )


def _icmp_id(packet: bytes, offset: int) -> int | None:
    """Return the identifier of an echo request (RFC 792, RFC 4443 §4.1)."""
    if packet[offset] not in ECHO_REQUESTS or offset + 6 > len(packet):
        return None
    return int.from_bytes(packet[offset + 4 : offset + 6])


def _ports(packet: bytes, offset: int, protocol: int) -> tuple[int | None, int | None]:
    if protocol not in WITH_PORTS or offset + PORTS.size > len(packet):
        return None, None
    source, destination = PORTS.unpack_from(packet, offset)
    return source, destination


def _ended(data: bytes) -> Iterator[Entry]:
    for kind, _, _, payload in messages(data):
        if kind == conntrack.CT_DELETE:
            entry = conntrack.parse(payload)
            if entry is not None and entry.mark:
                yield entry


def _open_log(group: int) -> NetlinkSocket:
    reader = NetlinkSocket(NETLINK_NETFILTER, receive_buffer=RECEIVE_BUFFER)
    header = NFGENMSG.pack(socket.AF_UNSPEC, 0, group)
    flags = NFULNL_CFG_F_SEQ
    settings = (
        attribute(NFULA_CFG_CMD, bytes([NFULNL_CFG_CMD_BIND])),
        attribute(NFULA_CFG_MODE, struct.pack("!IBx", COPY_BYTES, NFULNL_COPY_PACKET)),
        _log_flags(flags),
        attribute(NFULA_CFG_TIMEOUT, struct.pack("!I", FLUSH_CENTISECONDS)),
        attribute(NFULA_CFG_QTHRESH, struct.pack("!I", QUEUE_THRESHOLD)),
    )
    for setting in settings:
        reader.request(ULOG_CONFIG, 0, header + setting, what=f"nflog group {group}")
    try:
        setting = _log_flags(flags | NFULNL_CFG_F_CONNTRACK)
        reader.request(ULOG_CONFIG, 0, header + setting, what="nflog with conntrack")
    except NetlinkError as exc:
        # The mark is then found through the source address, which gives it anyway.
        if exc.number != errno.EOPNOTSUPP:
            raise
    return reader


def _log_flags(flags: int) -> bytes:
    return attribute(NFULA_CFG_FLAGS, struct.pack("!H", flags))


def _word(data: bytes | None) -> int:
    return 0 if data is None else int.from_bytes(data)
