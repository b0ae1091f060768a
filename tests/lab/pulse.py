"""Send small datagrams at a steady rate: `python -m tests.lab.pulse ADDRESS PORT RATE`.

Until killed. What was late is not caught up with: a pause of the sender would else
look like a burst.
"""

from __future__ import annotations

import socket
import sys
import time


def main(address: str, port: int, rate: int) -> None:
    """Send `rate` datagrams a second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        pause = 1 / rate
        due = time.monotonic()
        while True:
            sender.sendto(b"pulse", (address, port))
            due = max(due + pause, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
