"""Syslog over TLS: who it speaks to, and when a batch counts as read."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from audit.streams.errors import DeliveryError
from audit.streams.syslog_tls import TlsParty, send_batch
from tests.audit.streams.conftest import Certificate

Behaviour = Callable[[ssl.SSLSocket], None]


def connect(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=5)


def impatient(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=0.3)


@contextmanager
def server(
    certificate: Certificate, behaviour: Behaviour, *, wants_ours: bool = False
) -> Iterator[int]:
    """Accept one connection and treat it in a way; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    if wants_ours:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate.certificate)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(5)

    def serve() -> None:
        try:
            plain, _ = listening.accept()
            plain.settimeout(5)
            with context.wrap_socket(plain, server_side=True) as channel:
                behaviour(channel)
        except OSError:
            # The sender refused us, or we were told to break off.
            plain.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        thread.join()
        listening.close()


def read_all(into: list[bytes]) -> Behaviour:
    def read(channel: ssl.SSLSocket) -> None:
        while chunk := channel.recv(4096):
            into.append(chunk)

    return read


def party(certificate: Certificate, port: int, **changed: str) -> TlsParty:
    values = {"host": "127.0.0.1", "trusted": certificate.pem, **changed}
    return TlsParty(port=port, **values)


def test_a_batch_counts_when_the_receiver_ended_after_reading_it(
    certificate: Certificate,
) -> None:
    found: list[bytes] = []
    with server(certificate, read_all(found)) as port:
        send_batch(b"5 hello" * 30_000, party(certificate, port), connect=connect)
    assert b"".join(found) == b"5 hello" * 30_000


def test_an_answer_of_close_notify_counts_as_well(certificate: Certificate) -> None:
    def polite(channel: ssl.SSLSocket) -> None:
        while channel.recv(4096):
            pass
        channel.unwrap().close()

    with server(certificate, polite) as port:
        send_batch(b"5 hello", party(certificate, port), connect=connect)


def test_a_receiver_that_breaks_off_does_not_have_the_batch(
    certificate: Certificate,
) -> None:
    def crash(channel: ssl.SSLSocket) -> None:
        channel.recv(1)
        # As a killed process with octets unread: the kernel resets the connection.
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        channel.close()

    with (
        server(certificate, crash) as port,
        pytest.raises(DeliveryError, match="the connection failed"),
    ):
        send_batch(b"5 hello" * 300_000, party(certificate, port), connect=connect)


def test_a_receiver_that_never_ends_does_not_confirm(certificate: Certificate) -> None:
    done = threading.Event()

    def stay(_channel: ssl.SSLSocket) -> None:
        done.wait(5)

    with server(certificate, stay) as port:
        with pytest.raises(DeliveryError, match="did not answer in time"):
            send_batch(b"5 hello", party(certificate, port), connect=impatient)
        done.set()


def test_a_certificate_nobody_trusts_gets_nothing(certificate: Certificate) -> None:
    found: list[bytes] = []
    with server(certificate, read_all(found)) as port:
        stranger = party(certificate, port, trusted="")
        with pytest.raises(DeliveryError, match="certificate is not accepted"):
            send_batch(b"5 hello", stranger, connect=connect)
    assert found == []


def test_a_certificate_of_another_name_gets_nothing(certificate: Certificate) -> None:
    found: list[bytes] = []

    def to_loopback(_host: str, port: int) -> socket.socket:
        return connect("127.0.0.1", port)

    with server(certificate, read_all(found)) as port:
        another = party(certificate, port, host="siem.example.test")
        with pytest.raises(DeliveryError, match="certificate is not accepted"):
            send_batch(b"5 hello", another, connect=to_loopback)
    assert found == []


def test_a_receiver_may_ask_who_we_are(certificate: Certificate) -> None:
    found: list[bytes] = []
    own = certificate.pem + certificate.key.read_text(encoding="ascii")
    with server(certificate, read_all(found), wants_ours=True) as port:
        ours = party(certificate, port, own=own)
        send_batch(b"5 hello", ours, connect=connect)
    assert found == [b"5 hello"]


def test_nobody_there_is_said(certificate: Certificate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(DeliveryError, match="refused"):
        send_batch(b"5 hello", party(certificate, port), connect=connect)
