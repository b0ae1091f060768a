"""A real redis-server of one's own, which can be killed and started again."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tests.lab.processes import LabError, wait_until

LOOPBACK = "127.0.0.1"


class RedisServer:
    """Keeps nothing on disk."""

    def __init__(self, directory: Path) -> None:
        """Choose a port."""
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        self.process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *("redis-server", "--port", str(self.port), "--save", ""),
                *("--bind", LOOPBACK, "--dir", str(self.directory)),
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._answers, what="redis-server", seconds=10)

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise LabError("redis-server ended before it answered")
        try:
            with socket.create_connection((LOOPBACK, self.port), 0.1):
                return True
        except OSError:
            return False


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port: int = server.getsockname()[1]
        return port
