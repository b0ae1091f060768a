"""Frames sent as fast as one core can: many with one call, and what a call cost.

A veth pair handles a packet in the sender's own context, so the sender's processor
time is the gateway's: another program's time slice is not counted.
"""

from __future__ import annotations

import ctypes
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path

AT_ONCE = 1024
SETTLE_SECONDS = 0.05
"""For what the kernel still does in the background after a load."""


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("padding", ctypes.c_int),
        ("sent", ctypes.c_uint),
    )


class Volley:
    """Frames laid out for sendmmsg(2) on one interface."""

    def __init__(self, interface: str, frames: Sequence[bytes]) -> None:
        """Lay them out once."""
        self._library = ctypes.CDLL(None, use_errno=True)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.bind((interface, 0))
        self._frames = [ctypes.create_string_buffer(f, len(f)) for f in frames]
        self._vectors = (_Vector * len(frames))()
        self._headers = (_Header * len(frames))()
        for place, frame in enumerate(self._frames):
            self._vectors[place].base = ctypes.addressof(frame)
            self._vectors[place].length = len(frames[place])
            self._headers[place].vectors = ctypes.addressof(self._vectors[place])
            self._headers[place].vector_count = 1

    def fire(self, count: int) -> float:
        """Send the first `count` and return the seconds of processor time for each.

        At real-time priority, so that no other program takes the processor, and what
        its caches hold, in the middle of it.
        """
        time.sleep(SETTLE_SECONDS)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        try:
            return self._fire(count)
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    def _fire(self, total: int) -> float:
        done, size = 0, ctypes.sizeof(_Header)
        begun = time.thread_time()
        while done < total:
            start = ctypes.byref(self._headers, done * size)
            number = self._socket.fileno()
            sent = self._library.sendmmsg(number, start, min(AT_ONCE, total - done), 0)
            if sent < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            done += sent
        return (time.thread_time() - begun) / total


def packets_out(interface: str) -> int:
    """Return how many packets an interface has sent."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == interface:
            return int(figures.split()[9])
    raise KeyError(interface)
