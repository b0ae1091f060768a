"""sd_notify(3): ready, alive, stopping, said to the supervisor that asked to hear it.

A datagram of lines to the unix socket in NOTIFY_SOCKET. Without one nothing is said.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping


class Supervisor:
    """Who started this program and watches it: systemd, or nobody."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Take the socket's name from the environment."""
        name = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of an abstract name.
        self._address = f"\0{name[1:]}" if name.startswith("@") else name

    def ready(self) -> None:
        """Say that the start is over."""
        self._say("READY=1")

    def alive(self, status: str) -> None:
        """Feed the watchdog, with a line that people see."""
        line = "".join(c for c in status if c.isprintable())
        self._say(f"WATCHDOG=1\nSTATUS={line}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._say("STOPPING=1")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        # A supervisor that is gone does not matter to enforcement.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram,
        ):
            datagram.connect(self._address)
            datagram.send(text.encode())
