"""Packets all the time: when was the way open, and when was it closed."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tests.gateway.netns.lab import inside, until

ECHO_PORT: Final = 7007
PERIOD: Final = 0.01
QUIET: Final = 0.5
NUMBER: Final = struct.Struct("!I")
ANY_PORT: Final = 0
NEW_PORTS: Final = itertools.cycle(range(1024, 32768))
"""The kernel draws ports by lot, so that a new flow may be one it still tracks."""


def echo(*hosts: str) -> None:
    """Answer every datagram at these addresses of the application host."""
    for host in hosts:
        threading.Thread(target=_answer, args=(_bound(host),), daemon=True).start()


@dataclass(slots=True)
class Probe:
    """Sends a datagram every 10 ms and notes (monotonic seconds) which came back.

    One flow, established once; `fresh` makes every datagram a new flow.
    """

    device: str
    host: str
    fresh: bool = False
    sent: list[float] = field(default_factory=list, repr=False)
    answered: dict[int, float] = field(default_factory=dict, repr=False)
    """When each datagram that was answered was *sent*, by its number."""
    ports: set[int] = field(default_factory=set, repr=False)
    """The source ports of the flows that were answered."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> Probe:
        """Begin; return this probe."""
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()

    def is_open(self, seconds: float = QUIET) -> bool:
        """Return whether a datagram sent during these seconds is answered."""
        begun = len(self.sent)
        with contextlib.suppress(TimeoutError):
            until(lambda: self._after(begun), "an answer", seconds)
        return self._after(begun)

    def opens(self, seconds: float = 20) -> float:
        """Wait for an answer to what is sent from now on; return how long it took."""
        begun = len(self.sent)
        return until(lambda: self._after(begun), f"{self} to open", seconds)

    def closes(self, seconds: float, *, quiet: float = QUIET) -> float:
        """Wait until nothing is answered; return when the last one was sent.

        Raises:
            TimeoutError: it was still open then.
        """
        begun = time.monotonic()

        def is_quiet() -> bool:
            return time.monotonic() - max(begun, self.last()) > quiet

        until(is_quiet, f"{self} to close", seconds + quiet)
        return self.last()

    def last(self) -> float:
        """Return when the latest answered datagram was sent, 0 for never."""
        return max(self.answered.values(), default=0.0)

    def longest_gap(self, since: float, until: float) -> float:
        """Return the longest time without an answer between two moments."""
        times = sorted(t for t in list(self.answered.values()) if since < t < until)
        edges = [since, *times, until]
        return max(b - a for a, b in itertools.pairwise(edges))

    def __str__(self) -> str:
        """Say from where to where."""
        return f"{self.device} → {self.host}{' (new flows)' if self.fresh else ''}"

    def _after(self, number: int) -> bool:
        return any(answered >= number for answered in list(self.answered))

    def _run(self) -> None:
        asking = self._open()
        while not self._stop.is_set():
            number = len(self.sent)
            self.sent.append(time.monotonic())
            with contextlib.suppress(OSError):
                asking.send(NUMBER.pack(number))
            self._hear(asking)
            self._stop.wait(PERIOD)
            if self.fresh:
                self._hear(asking)
                asking.close()
                asking = self._open()
        asking.close()

    def _hear(self, asking: socket.socket) -> None:
        # An ICMP error of an earlier datagram is told at the next call.
        with contextlib.suppress(OSError):
            while True:
                (number,) = NUMBER.unpack(asking.recv(64))
                self.answered[number] = self.sent[number]
                self.ports.add(int(asking.getsockname()[1]))

    def _open(self) -> socket.socket:
        port = next(NEW_PORTS) if self.fresh else ANY_PORT
        return inside(self.device, _connected(self.host, port))


def _connected(host: str, port: int) -> Callable[[], socket.socket]:
    def make() -> socket.socket:
        opened = socket.socket(_family(host), socket.SOCK_DGRAM)
        opened.setblocking(False)
        opened.bind(("", port))
        opened.connect((host, ECHO_PORT))
        return opened

    return make


def _bound(host: str) -> socket.socket:
    bound = inside("app", lambda: socket.socket(_family(host), socket.SOCK_DGRAM))
    bound.bind((host, ECHO_PORT))
    return bound


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _answer(listener: socket.socket) -> None:
    while True:
        with contextlib.suppress(OSError):
            data, sender = listener.recvfrom(2048)
            listener.sendto(data, sender)
