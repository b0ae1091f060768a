"""A receiver that can be killed: it writes what it got to a file, then says so.

    python -m tests.audit.streams.receiver KIND PORT FILE [CERTIFICATE KEY] [STATUS]

KIND is `http`, `hec` or `syslog`. Each message is one line of JSON in FILE, on the disk
before it is acknowledged: `{"body": …}` for a request, with its headers, or one syslog
message. It prints its port once it listens. For `http` and `hec` with a certificate it
speaks TLS as `syslog` always does.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Kept:
    """The file that outlives the receiver."""

    def __init__(self, path: str) -> None:
        """Open it for more."""
        self._file = open(path, "a", encoding="ascii")  # noqa: PTH123, SIM115 -- for as long as the process lives

    def add(self, **found: Any) -> None:  # noqa: ANN401 -- any JSON value
        """Write one message down, whole."""
        self._file.write(json.dumps(found) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return what a receiver wrote down."""
    if not path.exists():
        return []
    text = path.read_text(encoding="ascii")
    return [json.loads(line) for line in text.splitlines()]


def serve_http(
    listening: socket.socket, kept: Kept, *, answer: bytes, tls: ssl.SSLContext | None
) -> None:
    """Answer each request once it is on the disk."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.add(
                path=self.path,
                headers=dict(self.headers.items()),
                body=base64.b64encode(body).decode(),
            )
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = tls.wrap_socket(listening, server_side=True) if tls else listening
    server.serve_forever()


def serve_syslog(listening: socket.socket, kept: Kept, tls: ssl.SSLContext) -> None:
    """Read framed messages until the sender ends, as RFC 5425 has it."""
    while True:
        plain, _ = listening.accept()
        try:
            with tls.wrap_socket(plain, server_side=True) as channel:
                for message in frames(channel):
                    kept.add(message=base64.b64encode(message).decode())
        except (OSError, ValueError) as exc:
            print(f"lost a connection: {exc}", file=sys.stderr)  # noqa: T201 -- a program


def frames(channel: ssl.SSLSocket) -> list[bytes]:
    """Return the messages of a connection, counted by octets."""
    data = b""
    while chunk := channel.recv(65_536):
        data += chunk
    found = []
    while data:
        length, blank, data = data.partition(b" ")
        if not blank or not length.isdigit() or len(data) < int(length):
            raise ValueError("a frame is cut off")
        found.append(data[: int(length)])
        data = data[int(length) :]
    return found


def main(kind: str, port: str, path: str, *certificate: str) -> None:
    """Serve until killed."""
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    listening = socket.create_server(("127.0.0.1", int(port)))
    print(listening.getsockname()[1], flush=True)  # noqa: T201 -- a program
    kept = Kept(path)
    match kind, tls:
        case "syslog", ssl.SSLContext():
            serve_syslog(listening, kept, tls)
        case "hec", _:
            serve_http(listening, kept, answer=b'{"text":"Success","code":0}', tls=tls)
        case _:
            serve_http(listening, kept, answer=b"{}", tls=tls)


if __name__ == "__main__":
    main(*sys.argv[1:])
