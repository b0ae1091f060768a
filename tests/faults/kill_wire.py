"""Packets of many devices through the ruleset, over two wires, as fast as can be."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from tests.faults.kill_policies import FLOWS, Flow
from tests.policies.compiler import frames

FROM_APPLICATIONS: Final = bytes.fromhex("02000000aa03")
ETH_P_ALL: Final = 3
SO_RCVBUFFORCE: Final = 33
BUFFER: Final = 1 << 24
RUNNING_PORT: Final = 20_000
"""Source port of the flows that run; the number of the flow is added."""
TRIES: Final = range(21_000, 60_000, len(FLOWS))
"""Source ports of flows that begin: fresh ones at each look."""
RUNNING: Final = 1 << 16
"""Added to the number of a flow that runs."""
NAME: Final = struct.Struct("!4sI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came out: flows that began, and flows that went on."""

    begun: frozenset[Flow]
    gone_on: frozenset[Flow]


class Wire:
    """Both ends of the gateway."""

    def __init__(self) -> None:
        """Listen to what comes out towards the applications."""
        self._devices, self._applications = (
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(2)
        )
        self._devices.bind(("tun", 0))
        self._applications.bind(("net", 0))
        kind = socket.htons(ETH_P_ALL)
        self._heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, kind)
        self._heard.bind(("net", ETH_P_ALL))
        self._heard.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self._heard.setblocking(False)
        self._running: frozenset[Flow] = frozenset()
        self._look = 0

    def begin(self, flows: frozenset[Flow]) -> None:
        """Begin these flows and answer them, so that they are established."""
        self._running = flows
        for number, flow in enumerate(FLOWS):
            if flow in flows:
                port = RUNNING_PORT + number
                there, back = (flow.source, port), (flow.host, flow.port)
                self._devices.send(_datagram(there, back, number))
                answer = _datagram(back, there, number)
                self._applications.send(FROM_APPLICATIONS + answer[6:])
        self._hear()

    def pass_through(self) -> Seen:
        """Send a packet of each flow: a new one, and of each that runs."""
        base = TRIES[self._look % len(TRIES)]
        self._look += 1
        for number, flow in enumerate(FLOWS):
            there = (flow.host, flow.port)
            new = _datagram((flow.source, base + number), there, number)
            self._devices.send(new)
            if flow in self._running:
                port = RUNNING_PORT + number
                on = _datagram((flow.source, port), there, RUNNING + number)
                self._devices.send(on)
        names = self._hear()
        return Seen(
            begun=frozenset(FLOWS[n] for n in names if n < RUNNING),
            gone_on=frozenset(FLOWS[n - RUNNING] for n in names if n >= RUNNING),
        )

    def _hear(self) -> set[int]:
        """Take what came out; a pair of wires hands a frame on in its own sending."""
        names = set()
        try:
            while True:
                word, number = NAME.unpack(self._heard.recv(65535)[-NAME.size :])
                if word == b"PEER":
                    names.add(number)
        except BlockingIOError:
            return names


End = tuple[IPv4Address, int]


def _datagram(source: End, destination: End, name: int) -> bytes:
    """Return a frame; the gateway's side of the devices' wire takes it."""
    body = struct.pack("!HHHH", source[1], destination[1], 16, 0)
    body += NAME.pack(b"PEER", name)
    head = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, 0, 20 + len(body), name & 0xFFFF, 0, 64, 17, 0),
        source[0].packed,
        destination[0].packed,
    )
    checksum = struct.pack("!H", frames.checksum(head))
    head = head[:10] + checksum + head[12:]
    return frames.GATEWAY_MAC + frames.SOURCE_MAC + b"\x08\x00" + head + body
