"""Serve the cast's identity provider on listening sockets: `… identity FD …`."""

from __future__ import annotations

import socket
import sys

import uvicorn

from tests.idp import setup
from tests.idp.app import application


def main(descriptors: list[str]) -> None:
    """Fill the provider's database, then serve until stopped."""
    setup.prepare()
    sockets = [socket.socket(fileno=int(number)) for number in descriptors]
    config = uvicorn.Config(application, log_level="warning", lifespan="off")
    uvicorn.Server(config).run(sockets=sockets)


if __name__ == "__main__":
    main(sys.argv[1:])
