"""What leaves the portal goes where it may, once, and ends in time. No database."""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from pytest_django import Settings

from audit import outbound
from audit.outbound import OutboundError, checked_url, is_allowed, post, signed_headers
from tests.audit.receiver import receiving

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def loopback(settings: Settings) -> None:
    """Allow plain HTTP to this machine."""
    settings.PEERAGE_OUTBOUND_HTTP = True
    settings.PEERAGE_OUTBOUND_NETWORKS = [
        ip_network("127.0.0.0/8"),
        ip_network("::1/128"),
    ]


def certificate(name: str, at: datetime, directory: Path) -> tuple[ssl.SSLContext, str]:
    """Return a server's side of TLS under a name, and its certificate as PEM."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(Encoding.PEM)
    path = directory / "server.pem"
    path.write_bytes(
        pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, pem.decode()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104 -- an address that must be refused
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:1::1",
        "fec0::1",
    ],
)
def test_addresses_inside_are_refused(address: str) -> None:
    assert not is_allowed(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"],
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(ip_address(address))


def test_a_named_network_is_allowed_and_its_neighbour_is_not(
    settings: Settings,
) -> None:
    settings.PEERAGE_OUTBOUND_NETWORKS = [ip_network("10.1.0.0/16")]
    assert is_allowed(ip_address("10.1.2.3"))
    assert is_allowed(ip_address("::ffff:10.1.2.3"))
    assert not is_allowed(ip_address("10.2.0.1"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook.example",
        "http://hook.example/",
        "ftp://hook.example/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://hook.example:0/",
        "https://hook.example:99999/",
        "https://user:word@hook.example/",
        "https://hook.example/#part",
        "https://hook.example/\r\nHost: other",
        "https://hook.example/a b",
        "https://höok.example/",
        "https://[::1/",
        "https://hook.example/" + "a" * 2000,
    ],
)
def test_such_an_address_cannot_be_entered(url: str) -> None:
    with pytest.raises(OutboundError):
        checked_url(url)


def test_https_may_be_entered() -> None:
    assert checked_url("https://hook.example:8443/a?b=c")


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "[::1]", "2130706433", "0x7f.1", "127.1"]
)
def test_nothing_is_sent_to_this_machine_however_it_is_spelled(
    host: str, settings: Settings
) -> None:
    settings.PEERAGE_OUTBOUND_HTTP = True
    with receiving() as receiver:
        port = receiver.url.rsplit(":", 1)[1]
        with pytest.raises(OutboundError, match=r"may not connect|has no address"):
            post(f"http://{host}:{port}", b"", headers={})
    assert receiver.taken == []


def test_one_forbidden_address_among_many_refuses_the_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [(2, 1, 6, "", (number, 443)) for number in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: answers)
    with pytest.raises(OutboundError, match=r"10\.0\.0\.1"):
        post("https://hook.example/", b"", headers={})


def test_a_name_is_resolved_once_and_the_judged_address_is_dialled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    dialled: list[str] = []

    def resolve(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        address = "1.1.1.1" if len(asked) == 1 else "127.0.0.1"
        return [(2, 1, 6, "", (address, port))]

    def dial(address: tuple[str, int], **_: object) -> socket.socket:
        dialled.append(address[0])
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", dial)
    with pytest.raises(OutboundError, match="refused"):
        post("https://rebind.example/", b"", headers={})
    assert (asked, dialled) == (["rebind.example"], ["1.1.1.1"])
    assert is_allowed(IPv4Address(dialled[0]))


def test_a_body_arrives_with_its_headers(loopback: None) -> None:
    with receiving(204) as receiver:
        answer = post(receiver.url + "?a=b", b'{"x":1}', headers={"X-Own": "yes"})
    assert (answer.status, answer.is_success) == (204, True)
    (taken,) = receiver.taken
    assert (taken.path, taken.body) == ("/hook?a=b", b'{"x":1}')
    assert taken.headers["X-Own"] == "yes"
    assert taken.headers["Host"].startswith("localhost:")


def test_a_redirect_is_not_followed(loopback: None) -> None:
    with receiving() as inside, receiving(307, location=inside.url) as receiver:
        answer = post(receiver.url, b"{}", headers={})
    assert (answer.status, answer.is_success) == (307, False)
    assert inside.taken == []


def test_a_proxy_of_the_environment_is_not_used(
    loopback: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as proxy, receiving() as receiver:
        monkeypatch.setenv("http_proxy", proxy.url)
        post(receiver.url, b"{}", headers={})
    assert (len(proxy.taken), len(receiver.taken)) == (0, 1)


def test_an_endless_answer_is_read_to_the_limit(loopback: None) -> None:
    with receiving(answer=b"x" * (3 * outbound.ANSWER_LIMIT)) as receiver:
        answer = post(receiver.url, b"{}", headers={})
    assert len(answer.body) == outbound.ANSWER_LIMIT


def test_who_drips_an_answer_is_cut_off(
    loopback: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "SECONDS", 0.4)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            handler.wfile.write(b"X-A: b\r\n")
            handler.wfile.flush()
            handler.connection.settimeout(0.05)
            try:
                if handler.connection.recv(1) == b"":
                    return
            except TimeoutError:
                continue

    with (
        receiving(instead=drip) as receiver,
        pytest.raises(OutboundError, match=r"in time|no answer"),
    ):
        post(receiver.url, b"{}", headers={})


def test_who_hangs_up_is_an_error(loopback: None) -> None:
    with (
        receiving(instead=lambda _handler: None) as receiver,
        pytest.raises(OutboundError, match="no answer"),
    ):
        post(receiver.url, b"{}", headers={})


def test_a_header_cannot_smuggle_another(loopback: None) -> None:
    with receiving() as receiver, pytest.raises(OutboundError):
        post(receiver.url, b"{}", headers={"X-Own": "a\r\nX-Other: b"})
    assert receiver.taken == []


def test_a_trusted_certificate_is_accepted(
    loopback: None, tmp_path: Path, clock: datetime
) -> None:
    context, pem = certificate("localhost", clock, tmp_path)
    with receiving(tls=context) as receiver:
        assert post(receiver.url, b"{}", headers={}, trusted=pem).is_success
    assert receiver.taken[0].headers["Host"].startswith("localhost:")


@pytest.mark.parametrize("name", ["localhost", "elsewhere.example"])
def test_a_strange_certificate_is_refused(
    name: str, loopback: None, tmp_path: Path, clock: datetime
) -> None:
    context, pem = certificate(name, clock, tmp_path)
    trusted = "" if name == "localhost" else pem
    with (
        receiving(tls=context) as receiver,
        pytest.raises(OutboundError, match="certificate is not accepted"),
    ):
        post(receiver.url, b"{}", headers={}, trusted=trusted)
    assert receiver.taken == []


def test_a_signature_can_be_checked_by_its_receiver(loopback: None) -> None:
    body = b'{"alarm":1}'
    with receiving() as receiver:
        post(receiver.url, body, headers=signed_headers("key", body, now=NOW))
    headers, got = receiver.taken[0].headers, receiver.taken[0].body
    at = headers["X-Peerage-Timestamp"]
    digest = hmac.new(b"key", f"{at}.".encode() + got, hashlib.sha256).hexdigest()
    assert headers["X-Peerage-Signature"] == f"v1={digest}"
    assert int(at) == int(NOW.timestamp())


def test_another_time_is_another_signature() -> None:
    later = NOW + timedelta(seconds=1)
    first, second = (signed_headers("key", b"x", now=at) for at in (NOW, later))
    assert first["X-Peerage-Signature"] != second["X-Peerage-Signature"]


@pytest.fixture
def clock() -> datetime:
    """Return the time: certificates are judged by the machine's clock."""
    return datetime.now(UTC)  # noqa: TID251 -- a test's edge
