"""A witness of Peerage's logs, or of any C2SP tlog. docs/audit.md says how to run it.

    python -m audit.witness keygen DIR NAME
    python -m audit.witness serve DIR --log NAME+ID+KEY [--log …] [--listen HOST:PORT]

It answers POST /add-checkpoint (C2SP tlog-witness). Put TLS in front of it: nothing
it hears or says is secret, but who can cut the wire can keep it from witnessing.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audit.tlog.note import DECIMAL, NoteError, parse_verifier_key
from audit.tlog.witnessing import MAX_REQUEST, StaleError, WitnessError
from audit.witness.keeping import KeepingError, Witness, create

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS: Final = 10.0
"""For a whole request, whatever the other side drips."""
AT_ONCE: Final = 64
SIZE_TYPE: Final = "text/x.tlog.size"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "keygen":
            print(create(options.directory, options.name))  # noqa: T201 -- the answer
            return 0
        logs = [parse_verifier_key(text) for text in options.log]
        witness = Witness(options.directory, logs)
    except (KeepingError, NoteError) as exc:
        print(f"audit.witness: {exc}", file=sys.stderr)  # noqa: T201 -- the answer
        return 1
    serve(witness, options.listen)
    return 0


def serve(witness: Witness, listen: tuple[str, int]) -> None:
    """Answer until interrupted."""
    server = server_of(witness, listen)
    host, port = server.server_address[:2]
    print(f"{witness.key}\nhttp://{host!s}:{port}", flush=True)  # noqa: T201 -- who, where
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        witness.close()


class BoundedServer(ThreadingHTTPServer):
    """Speaks with so many at once and hangs up on the rest."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 -- the base's own
        """Listen."""
        self._room = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- the base's own
        """Take a request if there is room."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- the base's own
        """Answer, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()


def server_of(  # noqa: C901 -- a handler, which http.server wants as a class
    witness: Witness, listen: tuple[str, int]
) -> ThreadingHTTPServer:
    """Return a server that asks this witness; it serves nothing yet."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            """Begin a request that ends in time, whatever the other side drips."""
            super().setup()
            self.timer = threading.Timer(SECONDS, self._end)
            self.timer.daemon = True
            self.timer.start()

        def finish(self) -> None:
            """End it."""
            self.timer.cancel()
            super().finish()

        def _end(self) -> None:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def do_POST(self) -> None:
            """Answer `add-checkpoint`."""
            # One request a connection: what is left of a refused body is not read.
            self.close_connection = True
            length = self.headers.get("Content-Length", "")
            if self.path != "/add-checkpoint":
                self._answer(HTTPStatus.NOT_FOUND, "POST /add-checkpoint\n")
            elif not DECIMAL.fullmatch(length) or int(length) > MAX_REQUEST:
                self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too long\n")
            else:
                self._add(self.rfile.read(int(length)))

        def _add(self, data: bytes) -> None:
            try:
                signed = witness.add_checkpoint(data, at=int(time.time()))
            except StaleError as exc:
                self._answer(exc.status, f"{exc.size}\n", kind=SIZE_TYPE)
            except WitnessError as exc:
                self._answer(exc.status, f"{exc}\n")
            except (OSError, ValueError) as exc:
                # It could not be written down, so it is not signed.
                self.log_error("%s", exc)
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "not kept\n")
            else:
                self._answer(HTTPStatus.OK, signed.line())

        def _answer(self, status: int, text: str, *, kind: str = "text/plain") -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return BoundedServer(listen, Handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="audit.witness", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    keygen = commands.add_parser("keygen", help="make the witness's key, once")
    keygen.add_argument("directory", type=Path)
    keygen.add_argument("name", help="such as witness.example.org")
    run = commands.add_parser("serve", help="answer POST /add-checkpoint")
    run.add_argument("directory", type=Path)
    run.add_argument("--log", action="append", required=True, metavar="NAME+ID+KEY")
    run.add_argument("--listen", type=_address, default=("127.0.0.1", 8080))
    return parser


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    sys.exit(main())
