"""Packets of many devices through the ruleset, over two wires, as fast as can be."""

from __future__ import annotations

import os
import socket
import struct
import time
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from tests.faults.kill_policies import FLOWS, Flow
from tests.policies.compiler import frames

FROM_APPLICATIONS: Final = bytes.fromhex("02000000aa03")
ETH_P_ALL: Final = 3
SO_RCVBUFFORCE: Final = 33
BUFFER: Final = 1 << 24
DEADLINE_SECONDS: Final = 5.0
RUNNING_PORT: Final = 20_000
"""Source port of the flows that run; the number of the flow is added."""
TRIES: Final = range(21_000, 60_000, len(FLOWS))
"""Source ports of flows that begin: fresh ones at each look."""
RUNNING: Final = 1 << 16
"""Added to the number of a flow that runs."""
LOOK: Final = 1 << 17
"""Added to a number for each look: what comes late belongs to none."""
NAME: Final = struct.Struct("!4sI")
MARKER: Final = 0x88B5
"""Ethertype of frames that only say: all before me was handled (IEEE 802, local)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came out: flows that began, and flows that went on."""

    begun: frozenset[Flow]
    gone_on: frozenset[Flow]


class Wire:
    """Both ends of the gateway."""

    def __init__(self) -> None:
        """Listen to what comes out towards the applications."""
        # One processor has one queue of frames, so that markers keep their place.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        self._devices = _wire("tun", 0)
        self._applications = _wire("net", 0)
        self._behind = _wire("lan", 0)
        self._came_in = _wire("wg0", MARKER)
        self._went_in = _wire("lan", MARKER)
        self._heard = _wire("net", ETH_P_ALL)
        self._heard.setblocking(False)
        self._running: frozenset[Flow] = frozenset()
        self._look = self._settled = 0

    def begin(self, flows: frozenset[Flow]) -> None:
        """Begin these flows and answer them, so that they are established."""
        self._running = flows
        for number, flow in enumerate(FLOWS):
            if flow in flows:
                port = RUNNING_PORT + number
                there, back = (flow.source, port), (flow.host, flow.port)
                self._devices.send(_datagram(there, back, number))
                answer = _datagram(back, there, number)
                self._settle()
                self._applications.send(FROM_APPLICATIONS + answer[6:])
        self._applications.send(_marker(0))
        self._went_in.recv(64)
        self._settle()
        self._hear()

    def pass_through(self) -> Seen:
        """Send a packet of each flow: a new one, and of each that runs."""
        self._look += 1
        base, look = TRIES[self._look % len(TRIES)], LOOK * (self._look % (1 << 14))
        for number, flow in enumerate(FLOWS):
            there = (flow.host, flow.port)
            new = _datagram((flow.source, base + number), there, look + number)
            self._devices.send(new)
            if flow in self._running:
                port = RUNNING_PORT + number
                name = look + RUNNING + number
                self._devices.send(_datagram((flow.source, port), there, name))
        self._settle()
        names = {n - look for n in self._hear() if n // LOOK == look // LOOK}
        return Seen(
            begun=frozenset(FLOWS[n] for n in names if n < RUNNING),
            gone_on=frozenset(FLOWS[n - RUNNING] for n in names if n >= RUNNING),
        )

    def _settle(self) -> None:
        """Return when all that the devices sent has come out, or never will."""
        self._devices.send(_marker(0))
        self._came_in.recv(64)
        self._settled += 1
        self._behind.send(_marker(self._settled))

    def _hear(self) -> set[int]:
        """Take what came out."""
        names = set[int]()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            try:
                frame = self._heard.recv(65535)
            except BlockingIOError:
                time.sleep(0.0005)
                continue
            if frame[12:] == _marker(self._settled)[12:]:
                return names
            word, number = NAME.unpack(frame[-NAME.size :])
            if word == b"PEER":
                names.add(number)
        raise TimeoutError("a marker was lost")


def _wire(interface: str, kind: int) -> socket.socket:
    """Return a socket on an end of a wire that hears frames of a kind (0: none)."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
    made.bind((interface, kind))
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    made.settimeout(DEADLINE_SECONDS)
    return made


def _marker(number: int) -> bytes:
    """Return a frame that nobody forwards."""
    head = b"\xff" * 6 + frames.SOURCE_MAC + struct.pack("!H", MARKER)
    return head + struct.pack("!Q", number)


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
