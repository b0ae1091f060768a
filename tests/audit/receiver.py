"""A real HTTP server on the loopback address that keeps what it was sent.

How a test uses it::

    with receiving(status=204) as receiver:
        post(receiver.url, b"{}", headers={})
    assert receiver.taken[0].body == b"{}"
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Receiver:
    """A server that runs; `statuses` are given out in turn, the last one for ever."""

    url: str
    statuses: list[int]
    taken: list[Taken] = field(default_factory=list)
    answer: bytes = b""
    location: str = ""

    def status(self) -> int:
        """Return what is answered now."""
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_args: object) -> None:
        """Say nothing: a client that hangs up is no news."""


@contextmanager
def receiving(
    *statuses: int,
    tls: ssl.SSLContext | None = None,
    answer: bytes = b"",
    location: str = "",
    instead: Callable[[BaseHTTPRequestHandler], None] | None = None,
) -> Iterator[Receiver]:
    """Serve; `instead` writes an answer of its own onto the connection."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            receiver.taken.append(
                Taken(
                    path=self.path,
                    headers=dict(self.headers.items()),
                    body=self.rfile.read(length),
                )
            )
            if instead is not None:
                self.close_connection = True
                instead(self)
                return
            self.send_response(receiver.status())
            self.send_header("Content-Length", str(len(receiver.answer)))
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.end_headers()
            self.wfile.write(receiver.answer)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    scheme = "http"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    receiver = Receiver(
        url=f"{scheme}://localhost:{server.server_port}/hook",
        statuses=[*statuses] or [200],
        answer=answer,
        location=location,
    )
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
