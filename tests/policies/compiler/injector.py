"""Runs inside a namespace: sends frames into one end of the gateway, hears the rest.

Standard input: JSON, a list of frames in hexadecimal; each ends with `PEER` and four
bytes that name it. Standard output: JSON, the names that came out of the gateway, and
the pairs (name, prefix) that its rules logged. The last frame is a control that must
come out; its arrival ends the run.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from collections.abc import Iterator

from gateway.events import (
    ACCEPT_GROUP,
    DROP_GROUP,
    NFULA_CFG_CMD,
    NFULA_CFG_MODE,
    NFULA_CFG_QTHRESH,
    NFULA_PAYLOAD,
    NFULA_PREFIX,
    NFULNL_CFG_CMD_BIND,
    NFULNL_COPY_PACKET,
    ULOG_CONFIG,
    ULOG_PACKET,
)
from gateway.netlink import (
    NETLINK_NETFILTER,
    NFGENMSG,
    NetlinkSocket,
    attribute,
    attributes,
    messages,
)

ETH_P_ALL = 3
DEADLINE_SECONDS = 5.0
BATCH = 100
BUFFER = 1 << 25
SO_RCVBUFFORCE = 33
NAME_BYTES = 8


class Wire:
    """Both ends of the gateway, by their interfaces, and both of its logs."""

    def __init__(self, here: str, there: str) -> None:
        """Listen before anything is sent."""
        self._out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._out.bind((here, 0))
        kind = socket.htons(ETH_P_ALL)
        self._heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, kind)
        self._heard.bind((there, ETH_P_ALL))
        self._heard.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self._heard.setblocking(False)
        self._logs = [_log(group) for group in (ACCEPT_GROUP, DROP_GROUP)]
        self.passed: set[bytes] = set()
        self.logged: dict[bytes, str] = {}

    def send(self, frames: list[bytes]) -> None:
        """Send, and hear what comes of it, until the last one is out."""
        for start in range(0, len(frames), BATCH):
            for frame in frames[start : start + BATCH]:
                self._out.send(frame)
            self._hear()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while frames[-1][-NAME_BYTES:] not in self.passed:
            if time.monotonic() > deadline:
                return
            self._hear()

    def _hear(self) -> None:
        """Take whatever is waiting."""
        try:
            while True:
                self.passed.add(self._heard.recv(65535)[-NAME_BYTES:])
        except BlockingIOError:
            pass
        for log in self._logs:
            for name, prefix in _entries(log):
                self.logged[name] = prefix


def _log(group: int) -> NetlinkSocket:
    """Listen to a group, every packet at once."""
    log = NetlinkSocket(NETLINK_NETFILTER, receive_buffer=BUFFER)
    header = NFGENMSG.pack(socket.AF_UNSPEC, 0, group)
    mode = struct.pack("!IBx", 65535, NFULNL_COPY_PACKET)
    settings = (
        attribute(NFULA_CFG_CMD, bytes([NFULNL_CFG_CMD_BIND])),
        attribute(NFULA_CFG_MODE, mode),
        attribute(NFULA_CFG_QTHRESH, struct.pack("!I", 1)),
    )
    for setting in settings:
        log.request(ULOG_CONFIG, 0, header + setting, what="listening to a log")
    log.set_blocking(blocking=False)
    return log


def _entries(log: NetlinkSocket) -> Iterator[tuple[bytes, str]]:
    """Yield what a group has logged: the packet's name and the prefix."""
    while True:
        try:
            data = log.receive()
        except BlockingIOError:
            return
        for kind, _, _, payload in messages(data):
            if kind == ULOG_PACKET:
                found = attributes(payload[NFGENMSG.size :])
                prefix = found[NFULA_PREFIX].rstrip(b"\0").decode()
                yield found[NFULA_PAYLOAD][-NAME_BYTES:], prefix


def _number(name: bytes) -> int | None:
    """Return a packet's number, or None when it is none of ours."""
    return int.from_bytes(name[4:], "big") if name.startswith(b"PEER") else None


def main() -> None:
    """Send, listen, report."""
    wire = Wire(*sys.argv[1:])
    wire.send([bytes.fromhex(text) for text in json.load(sys.stdin)])
    passed = [number for name in wire.passed if (number := _number(name)) is not None]
    logged = [
        (number, prefix)
        for name, prefix in wire.logged.items()
        if (number := _number(name)) is not None
    ]
    json.dump({"passed": sorted(passed), "logged": sorted(logged)}, sys.stdout)


if __name__ == "__main__":
    main()
