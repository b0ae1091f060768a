"""Packets as bytes: first packets of a flow, named by their last four bytes."""

from __future__ import annotations

import struct
from typing import Final

from policies.compiler.evaluate import Packet

GATEWAY_MAC: Final = bytes.fromhex("02000000aa01")
SOURCE_MAC: Final = bytes.fromhex("02000000aa02")


def frame(packet: Packet, name: int) -> bytes:
    """Return an Ethernet frame with this packet, its flow unlike all others."""
    body = _body(packet, name)
    if packet.source.version == 4:
        head = struct.pack(
            "!BBHHHBBH4s4s",
            0x45,
            0,
            20 + len(body),
            name & 0xFFFF,
            0,
            64,
            packet.protocol,
            0,
            packet.source.packed,
            packet.destination.packed,
        )
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        return GATEWAY_MAC + SOURCE_MAC + b"\x08\x00" + head + body
    head = struct.pack("!IHBB", 6 << 28, len(body), packet.protocol, 64)
    addresses = packet.source.packed + packet.destination.packed
    return GATEWAY_MAC + SOURCE_MAC + b"\x86\xdd" + head + addresses + body


def _body(packet: Packet, name: int) -> bytes:
    """Return the transport header and the name. Checksums are switched off."""
    mark = struct.pack("!4sI", b"PEER", name)
    source_port = 1024 + name % 60000
    match packet.protocol:
        case 6:
            ports = struct.pack("!HH", source_port, packet.port or 0)
            return ports + struct.pack("!IIHHHH", 1, 0, 0x5002, 1024, 0, 0) + mark
        case 17:
            return struct.pack("!HHHH", source_port, packet.port or 0, 16, 0) + mark
        case 1:
            return struct.pack("!BBHHH", 8, 0, 0, name & 0xFFFF, 1) + mark
        case 58:
            return struct.pack("!BBHHH", 128, 0, 0, name & 0xFFFF, 1) + mark
        case _:
            return b"\0" * 8 + mark


def checksum(head: bytes) -> int:
    """Return the IPv4 header checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(head) // 2}H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
