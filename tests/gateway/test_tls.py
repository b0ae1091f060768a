"""F17: TLS 1.3 with a certificate that is checked, Ed25519, and nothing home-made."""

from __future__ import annotations

import ast
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.client import connection, exchange, tls_context
from gateway.errors import PortalUnreachableError
from gateway.signing import Request

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = ("audit", "client", "gateway", "peers", "policies", "portal")
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def certificate(folder: Path, address: str) -> Path:
    """Make a self-signed certificate for an address, its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "portal")])
    now = datetime.now(UTC)  # noqa: TID251 -- an edge
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{address}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@contextlib.contextmanager
def serving(pem: Path, version: ssl.TLSVersion) -> Iterator[int]:
    """Answer one request after another, in this version of TLS only; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.minimum_version = context.maximum_version = version
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = server.accept()
                with accepted, contextlib.suppress(OSError):
                    spoken = context.wrap_socket(accepted, server_side=True)
                    spoken.recv(65536)
                    spoken.sendall(ANSWER)
                    spoken.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


def ask(port: int, ca_file: Path) -> bytes:
    base = f"https://127.0.0.1:{port}"
    opened = connection(base, tls_context(str(ca_file)), timeout=5)
    try:
        return exchange(opened, Request(method="GET", url=base, body=b""), {})
    finally:
        opened.close()


def test_f17_a_portal_of_tls_1_3_is_heard(tmp_path: Path) -> None:
    """The control."""
    pem = certificate(tmp_path, "127.0.0.1")
    with serving(pem, ssl.TLSVersion.TLSv1_3) as port:
        assert ask(port, pem) == b"{}"


def test_f17_an_older_tls_is_refused(tmp_path: Path) -> None:
    pem = certificate(tmp_path, "127.0.0.1")
    with (
        serving(pem, ssl.TLSVersion.TLSv1_2) as port,
        pytest.raises(PortalUnreachableError),
    ):
        ask(port, pem)


def test_f17_another_authority_is_refused(tmp_path: Path) -> None:
    pem = certificate(tmp_path, "127.0.0.1")
    (tmp_path / "other").mkdir()
    other = certificate(tmp_path / "other", "127.0.0.1")
    with (
        serving(pem, ssl.TLSVersion.TLSv1_3) as port,
        pytest.raises(PortalUnreachableError, match="certificate"),
    ):
        ask(port, other)


def test_f17_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    pem = certificate(tmp_path, "192.0.2.1")
    with (
        serving(pem, ssl.TLSVersion.TLSv1_3) as port,
        pytest.raises(PortalUnreachableError, match="certificate"),
    ):
        ask(port, pem)


AT_REST: Final = Path("audit/kept_secrets.py")
"""Keeps secrets of others in the database; nothing between two programs is its."""


def imported(*, but: Path) -> set[str]:
    """Return every primitive that a program of ours imports, one module left out."""
    found: set[str] = set()
    for program in PROGRAMS:
        for path in (ROOT / program).rglob("*.py"):
            if path == ROOT / but:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.ImportFrom) and node.module:
                    names = [node.module]
                elif isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                found.update(
                    n for n in names if n.startswith(("cryptography", "Crypto"))
                )
    return found


def test_f17_no_other_primitive_is_used_anywhere() -> None:
    assert imported(but=AT_REST) == {
        "cryptography.exceptions",
        "cryptography.hazmat.primitives.asymmetric.ed25519",
        "cryptography.hazmat.primitives.asymmetric.x25519",
    }
