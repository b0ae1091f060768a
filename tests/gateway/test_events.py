"""Packets and netlink messages are read as the kernel writes them. Pure."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace
from ipaddress import ip_address

import pytest

from gateway import conntrack
from gateway.events import packet_tuple
from gateway.netlink import NFGENMSG, attribute, attributes, messages, nested
from gateway.types import FlowTuple
from policies.compiler.types import address

V4 = FlowTuple(
    protocol=6,
    source=ip_address("100.64.0.7"),
    source_port=40000,
    destination=ip_address("10.50.0.10"),
    destination_port=8080,
)
V6 = replace(
    V4, source=ip_address("fd5e:e4a6:e000::7"), destination=ip_address("fd50::10")
)


def ipv4(
    flow: FlowTuple, payload: bytes, *, options: int = 0, offset: int = 0
) -> bytes:
    """Return an IPv4 packet."""
    length = 5 + options
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | length,
        0,
        20,
        0,
        offset,
        64,
        flow.protocol,
        0,
        flow.source.packed,
        flow.destination.packed,
    )
    return header + bytes(4 * options) + payload


def ipv6(flow: FlowTuple, payload: bytes, *, following: int | None = None) -> bytes:
    """Return an IPv6 packet."""
    first = flow.protocol if following is None else following
    header = struct.pack(
        "!IHBB16s16s",
        6 << 28,
        len(payload),
        first,
        64,
        flow.source.packed,
        flow.destination.packed,
    )
    return header + payload


PORTS = struct.pack("!HH", 40000, 8080) + bytes(16)
ECHO = bytes([8, 0, 0, 0, 0x12, 0x34, 0, 1])
ECHO6 = bytes([128, 0, 0, 0, 0x12, 0x34, 0, 1])


def icmp(flow: FlowTuple, protocol: int, number: int | None) -> FlowTuple:
    """Return the tuple without ports."""
    return replace(
        flow,
        protocol=protocol,
        source_port=None,
        destination_port=None,
        icmp_id=number,
    )


@pytest.mark.parametrize(
    ("packet", "flow"),
    [
        (ipv4(V4, PORTS), V4),
        (ipv4(V4, PORTS, options=3), V4),
        (
            ipv4(V4, PORTS, offset=9),
            replace(V4, source_port=None, destination_port=None),
        ),
        (ipv6(V6, PORTS), V6),
        (ipv6(V6, bytes([6, 0]) + bytes(6) + PORTS, following=60), V6),
        (ipv6(V6, bytes([6, 0, 0, 1]) + bytes(4) + PORTS, following=44), V6),
        (ipv4(icmp(V4, 1, None), ECHO), icmp(V4, 1, 0x1234)),
        (ipv6(icmp(V6, 58, None), ECHO6), icmp(V6, 58, 0x1234)),
        (ipv4(icmp(V4, 1, None), bytes([3, 1]) + bytes(6)), icmp(V4, 1, None)),
        (ipv4(replace(V4, protocol=47), PORTS), icmp(V4, 47, None)),
    ],
    ids=[
        "tcp",
        "options",
        "a later fragment",
        "tcp6",
        "destination options",
        "a first fragment",
        "echo",
        "echo6",
        "unreachable",
        "gre",
    ],
)
def test_the_tuple_of_a_packet_is_found(packet: bytes, flow: FlowTuple) -> None:
    assert packet_tuple(packet[:96]) == flow


@pytest.mark.parametrize("packet", [b"", b"\x45", b"\x60" + bytes(20)])
def test_what_is_no_packet_has_no_tuple(packet: bytes) -> None:
    assert packet_tuple(packet) is None


def message(mark: int = 7) -> bytes:
    """Return a conntrack message as the kernel writes it."""
    addresses = attribute(1, V4.source.packed) + attribute(2, V4.destination.packed)
    protocol = (
        attribute(1, b"\x06") + attribute(2, b"\x9c\x40") + attribute(3, b"\x1f\x90")
    )
    original = nested(1, addresses) + nested(2, protocol)
    number = struct.Struct("!Q")
    counters = [
        nested(kind, attribute(1, number.pack(p)) + attribute(2, number.pack(b)))
        for kind, p, b in ((9, 3, 180), (10, 2, 120))
    ]
    times = attribute(1, number.pack(5)) + attribute(2, number.pack(9))
    return (
        NFGENMSG.pack(socket.AF_INET, 0, 0)
        + nested(conntrack.CTA_TUPLE_ORIG, original)
        + attribute(conntrack.CTA_MARK, struct.pack("!I", mark))
        + attribute(conntrack.CTA_ID, struct.pack("!I", 99))
        + b"".join(counters)
        + nested(conntrack.CTA_TIMESTAMP, times)
    )


def test_a_conntrack_entry_is_read_whole() -> None:
    entry = conntrack.parse(message())
    assert entry is not None
    assert (entry.id, entry.mark, entry.tuple) == (99, 7, V4)
    assert (entry.bytes_up, entry.bytes_down) == (180, 120)
    assert (entry.packets_up, entry.packets_down) == (3, 2)
    assert (entry.started_ns, entry.ended_ns) == (5, 9)


def test_an_entry_without_a_tuple_is_none() -> None:
    assert conntrack.parse(NFGENMSG.pack(socket.AF_INET, 0, 0)) is None


def test_a_key_of_gre_is_not_a_port() -> None:
    addresses = attribute(1, V4.source.packed) + attribute(2, V4.destination.packed)
    protocol = (
        attribute(1, b"\x2f") + attribute(2, b"\x00\x01") + attribute(3, b"\x00\x02")
    )
    parsed = conntrack.parse_tuple(nested(1, addresses) + nested(2, protocol))
    assert parsed == icmp(V4, 47, None)


def test_attributes_stop_at_what_is_malformed() -> None:
    good = attribute(1, b"abc")
    assert attributes(good) == {1: b"abc"}
    assert attributes(good + b"\x02\x00\x05\x00") == {1: b"abc"}
    assert attributes(good + b"\xff\xff\x05\x00") == {1: b"abc"}
    assert list(messages(b"\x04\x00\x00\x00" + bytes(12))) == []


def test_addresses_of_both_families_are_what_the_compiler_uses() -> None:
    parsed = packet_tuple(ipv6(V6, PORTS))
    assert parsed is not None
    assert parsed.source == address("fd5e:e4a6:e000::7")
