"""Sending syslog messages over TLS (RFC 5425), and knowing that they were read.

The protocol has no acknowledgement. What TCP and TLS can say is said: one connection
carries one batch, the sender closes its side in order (close_notify, then FIN) and
waits until the receiver has closed, too. A receiver that stops with octets unread
resets the connection, so an orderly end means that it read all of them; what it did
with them, nobody tells. Therefore a batch that went before an outage is sent again
after it (`StreamCursor.resend_from`).

The receiver's certificate is checked against its name and the authorities the system
trusts, or the one that was entered for the stream; there is no way to leave that out.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from audit.streams.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsParty:
    """A receiver, whom it is to be trusted by, and what we show it.

    `trusted` is one or more PEM certificates, empty for the system's. `own` is our
    certificate with its key as PEM, empty for none.
    """

    host: str
    port: int
    trusted: str = ""
    own: str = ""


def tls_context(party: TlsParty) -> ssl.SSLContext:
    """Return how to speak to a party.

    Raises:
        DeliveryError: a certificate or key cannot be read.
    """
    try:
        context = ssl.create_default_context(cadata=party.trusted or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if party.own:
            # The standard library reads a key from a file only: 0600, gone at once.
            with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
                file.write(party.own)
                file.flush()
                context.load_cert_chain(file.name)
    except (ssl.SSLError, ValueError) as exc:
        raise DeliveryError("a certificate or key of this stream is unusable") from exc
    return context


def send_batch(
    data: bytes, party: TlsParty, *, connect: Callable[[str, int], socket.socket]
) -> None:
    """Send framed messages on a connection of their own; return once they were read.

    `connect` returns a connected TCP socket with a timeout.

    Raises:
        DeliveryError: they were not, or it cannot be known.
    """
    context = tls_context(party)
    try:
        with (
            connect(party.host, party.port) as plain,
            context.wrap_socket(plain, server_hostname=party.host) as channel,
        ):
            channel.sendall(data)
            _close_and_wait(channel)
    except ssl.SSLCertVerificationError as exc:
        raise DeliveryError(
            f"the receiver's certificate is not accepted: {exc.verify_message}"
        ) from exc
    except TimeoutError as exc:
        raise DeliveryError("the receiver did not answer in time") from exc
    except OSError as exc:
        raise DeliveryError(f"the connection failed: {_reason(exc)}") from exc


def _close_and_wait(channel: ssl.SSLSocket) -> None:
    """Close our side, then wait for the receiver's end; a reset is an `OSError`."""
    try:
        # Sends close_notify and waits for theirs.
        plain = channel.unwrap()
    except ssl.SSLEOFError:
        # They closed the connection instead, which is an orderly end as well.
        return
    plain.shutdown(socket.SHUT_WR)
    while plain.recv(CHUNK):
        pass


def _reason(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLError):
        return exc.reason or type(exc).__name__
    return exc.strerror or type(exc).__name__
