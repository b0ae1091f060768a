"""An application behind the gateway: `python -m tests.lab.appserver NAME PORT`.

`/` answers who it is; `/bytes/N` sends N bytes; `/stream` sends for ever, at a
steady pace that makes the moment of a cut visible. Serves IPv4 and IPv6.
"""

from __future__ import annotations

import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

CHUNK: Final = b"peerage " * 128
"""One kibibyte: a TCP segment of its own on these wires."""

PAUSE_SECONDS: Final = 0.001


class Handler(BaseHTTPRequestHandler):
    """Answers the three paths."""

    server_version = "lab"

    def do_GET(self) -> None:
        """Send what the path asks for."""
        match self.path.strip("/").split("/"):
            case ["stream"]:
                self._stream()
            case ["bytes", count] if count.isdecimal():
                self._send(int(count))
            case [""]:
                self._send(0, f"{sys.argv[1]} greets you\n".encode())
            case _:
                self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it so
        """Log to standard output with the client's address."""
        print(self.client_address[0], format % args, flush=True)

    def _send(self, count: int, body: bytes = b"") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(count + len(body)))
        self.end_headers()
        self.wfile.write(body)
        whole, rest = divmod(count, len(CHUNK))
        for _ in range(whole):
            self.wfile.write(CHUNK)
        self.wfile.write(CHUNK[:rest])

    def _stream(self) -> None:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(CHUNK)
                time.sleep(PAUSE_SECONDS)
        except OSError:
            self.close_connection = True


class Server(ThreadingHTTPServer):
    """One socket for both families."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self) -> None:
        """Accept IPv4 too."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


if __name__ == "__main__":
    Server(("::", int(sys.argv[2])), Handler).serve_forever()
