"""Streams, a clock, and receivers that live in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pytest_django import Settings

from audit.actor import SYSTEM
from audit.kept_secrets import said
from audit.models import Log
from audit.streams import services
from audit.streams.checks import StreamInput
from audit.streams.models import Stream, StreamForm, StreamKind
from tests.audit.streams.receiver import read_lines

ROOT: Final = Path(__file__).resolve().parents[3]
NOON: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

MakeStream = Callable[..., Stream]


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        """Stand at noon."""
        self.now = NOON

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now

    def advance(self, **by: float) -> None:
        """Let time pass."""
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    """Return a clock at noon."""
    return Clock()


@pytest.fixture
def reachable(settings: Settings) -> None:
    """Let streams reach this machine."""
    settings.PEERAGE_OUTBOUND_NETWORKS = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def make_stream(db: None) -> MakeStream:
    """Return a maker of streams from the beginning; keywords replace its input."""

    def make(*, secret: str = "", from_beginning: bool = True, **input_: Any) -> Stream:  # noqa: ANN401 -- the fields of the input
        values: dict[str, Any] = {
            "name": "siem",
            "kind": StreamKind.WEBHOOK,
            "address": "https://siem.example.test/peerage",
            "form": StreamForm.NATIVE,
            "logs": (Log.CONTROL, Log.CONNECTIONS),
        }
        made, _ = services.create_stream(
            wanted=StreamInput(**values | input_),
            secret=secret,
            from_beginning=from_beginning,
            actor=SYSTEM,
            now=NOON,
        )
        return made

    return make


def secret_of(stream: Stream) -> str:
    """Return what a stream's receiver and we know."""
    return said(stream.kept_secret, owner=stream.owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A self-signed certificate of 127.0.0.1 and its key, as files and as text."""

    certificate: Path
    key: Path

    @property
    def pem(self) -> str:
        """Return the certificate as text."""
        return self.certificate.read_text(encoding="ascii")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Make a certificate for this run."""
    folder = tmp_path_factory.mktemp("receiver")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.now(UTC)  # noqa: TID251 -- a test's edge
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.IPAddress(ip_address("127.0.0.1")),
                    x509.DNSName("localhost"),
                ]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    found = Certificate(certificate=folder / "certificate.pem", key=folder / "key.pem")
    found.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    found.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return found


class ReceiverProcess:
    """A receiver that is killed and comes back on the same port."""

    def __init__(self, kind: str, file: Path, certificate: Certificate) -> None:
        """Start it on a free port."""
        self.file = file
        self._kind = kind
        self._certificate = certificate
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, on the port it had before."""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.audit.streams.receiver",
                self._kind,
                str(self.port),
                str(self.file),
                str(self._certificate.certificate),
                str(self._certificate.key),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """Kill it as a crash does."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return what it has written down, in order."""
        return read_lines(self.file)


MakeReceiver = Callable[[str], ReceiverProcess]


@pytest.fixture
def make_receiver(tmp_path: Path, certificate: Certificate) -> Iterator[MakeReceiver]:
    """Return a starter of receivers; all are killed in the end."""
    started: list[ReceiverProcess] = []

    def make(kind: str) -> ReceiverProcess:
        started.append(
            ReceiverProcess(kind, tmp_path / f"{kind}{len(started)}", certificate)
        )
        return started[-1]

    yield make
    for one in started:
        one.kill()
