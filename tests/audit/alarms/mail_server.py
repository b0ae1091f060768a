"""A real SMTP server (RFC 5321) on the loopback address, as small as it can be."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass(slots=True)
class MailServer:
    """What it took; `refusal` is said instead of taking a message."""

    port: int
    taken: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refusal: str = ""


@contextmanager
def mail_server(refusal: str = "") -> Iterator[MailServer]:
    """Serve until the end."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 localhost")
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                verb = line[:4].upper()
                if verb == "RCPT":
                    server.recipients.append(line.partition("<")[2].rstrip(">"))
                if verb == "DATA":
                    self.say("354 go on")
                    self.take()
                    continue
                self.say("221 bye" if verb == "QUIT" else "250 localhost")
                if verb == "QUIT":
                    return

        def take(self) -> None:
            lines = []
            while (line := self.rfile.readline()) != b".\r\n":
                lines.append(line.removeprefix(b"."))
            if server.refusal:
                self.say(server.refusal)
                return
            found = message_from_bytes(b"".join(lines), policy=policy.default)
            assert isinstance(found, EmailMessage)
            server.taken.append(found)
            self.say("250 taken")

        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    listening = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server = MailServer(port=listening.server_address[1], refusal=refusal)
    thread = threading.Thread(
        target=listening.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
