"""Runs inside a namespace: sends frames into one end of the gateway, counts the other.

Standard input: JSON, a list of frames in hexadecimal; each ends with `PEER` and four
bytes that name it. Standard output: JSON, the names that came out of the gateway. The
last frame is a control that must come out; its arrival ends the run.
"""

from __future__ import annotations

import json
import socket
import sys
import time

ETH_P_ALL = 3
DEADLINE_SECONDS = 5.0
BATCH = 50


def main() -> None:
    """Send, listen, report."""
    frames = [bytes.fromhex(text) for text in json.load(sys.stdin)]
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    out.bind(("tun", 0))
    heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    heard.bind(("net", ETH_P_ALL))
    heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    heard.settimeout(0.2)
    seen: set[bytes] = set()
    for start in range(0, len(frames), BATCH):
        for frame in frames[start : start + BATCH]:
            out.send(frame)
        time.sleep(0.005)
    control = frames[-1][-8:]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while control not in seen and time.monotonic() < deadline:
        try:
            seen.add(heard.recv(65535)[-8:])
        except TimeoutError:
            continue
    names = [int.from_bytes(n[4:], "big") for n in seen if n.startswith(b"PEER")]
    json.dump(sorted(names), sys.stdout)


if __name__ == "__main__":
    main()
