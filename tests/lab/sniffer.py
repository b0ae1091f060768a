"""Note packets that pass: `python -m tests.lab.sniffer IFACE PEER FILE [PROTOCOL]`.

Only packets *received* on the interface with PEER as source address count, and where
a protocol is given (6 or 17, of IPv4) only those that are of it. The file holds one
fixed record that is overwritten in place: how many, the kernel's time stamp of the
last in nanoseconds since the epoch, and the longest pause between two.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RECORD: Final = struct.Struct("=QQQ")
ETH_P_ALL: Final = 0x0003
SO_TIMESTAMPNS: Final = 35  # asm-generic/socket.h
PACKET_OUTGOING: Final = 4  # linux/if_packet.h
TIMESPEC: Final = struct.Struct("@qq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How many packets passed, when the last did, and the longest pause."""

    packets: int = 0
    last_ns: int = 0
    pause_ns: int = 0


def read(path: Path) -> Seen:
    """Return what a sniffer has noted so far."""
    try:
        packets, last, pause = RECORD.unpack(path.read_bytes())
    except (FileNotFoundError, struct.error):
        return Seen()
    return Seen(packets=packets, last_ns=last, pause_ns=pause)


def main(interface: str, peer: str, path: Path, protocol: int = 0) -> None:
    """Listen until killed."""
    wanted = ipaddress.ip_address(peer).packed
    sniffer = socket.socket(
        socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)
    )
    sniffer.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sniffer.bind((interface, ETH_P_ALL))
    packets = last = pause = 0
    with path.open("wb", buffering=0) as file:
        file.write(RECORD.pack(0, 0, 0))
        while True:
            head, ancillary, _, address = sniffer.recvmsg(40, 64)
            if address[2] == PACKET_OUTGOING or _source(head) != wanted:
                continue
            if protocol and head[9] != protocol:
                continue
            stamp = _stamp(ancillary)
            pause = max(pause, stamp - last) if last else 0
            packets, last = packets + 1, stamp
            file.seek(0)
            file.write(RECORD.pack(packets, last, pause))


def _source(head: bytes) -> bytes:
    """Return the source address of an IP packet."""
    return head[12:16] if head[:1] and head[0] >> 4 == 4 else head[8:24]


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = TIMESPEC.unpack(data[: TIMESPEC.size])
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return time.time_ns()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *map(int, sys.argv[4:5]))
