"""The state directory: who this gateway is, and what it last accepted.

Every file is written beside its place, made durable and renamed into it, so that a
crash leaves the old one or the new one. All are readable by the owner only.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gateway.errors import StoreError
from policies.compiler.errors import CompilerError
from policies.compiler.hostnames import host_name
from policies.compiler.types import Resolved, address

IDENTITY: Final = "identity.json"
ACCEPTED: Final = "accepted.json"
LEASE: Final = "lease.json"
NOTICES: Final = "notices.json"
SEQUENCES: Final = "sequences.json"
LOCK: Final = "lock"
NAMES: Final = "names.json"
WITNESS: Final = "witness.json"
SPOOL: Final = "spool"
WIREGUARD_LOG: Final = "wireguard-go.log"
CHECKSUM: Final = "checksum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What enrolment fixed: names, pinned keys, and this gateway's own secrets.

    The key that signs requests is replaced from time to time (`gateway.stamping`):
    `signing_key_at` is since when it is used, `next_signing_seed` its successor before
    it is used, `endorsement` what the key before signed for the newest.
    """

    portal: str
    insecure_http: bool
    ca_file: str
    gateway: str
    deployment: str
    epoch: int
    snapshot_keys: tuple[tuple[str, bytes], ...]
    signing_seed: bytes
    wireguard_private_key: str
    signing_key_at: datetime | None = None
    next_signing_seed: bytes = b""
    endorsement: str = ""
    keeps_floor: bool = False
    """Whether a floor was ever kept (`gateway.standing`): one that is gone is lost."""

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Identity({self.gateway!r}, {self.portal!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notices:
    """Notices that no accepted snapshot covers, as they came, and the last number."""

    epoch: int
    number: int
    envelopes: tuple[bytes, ...]


class Store:
    """The files of one gateway's state directory."""

    def __init__(self, directory: Path) -> None:
        """Use `directory`, which `enroll` makes."""
        self.directory = directory
        self._lock: int | None = None

    @property
    def spool_directory(self) -> Path:
        """Where evidence waits."""
        return self.directory / SPOOL

    @property
    def wireguard_log(self) -> Path:
        """Where wireguard-go writes what it has to say."""
        return self.directory / WIREGUARD_LOG

    def create(self) -> None:
        """Make the directory, for its owner only."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreError(f"{self.directory}: {exc.strerror}") from exc

    def lock(self) -> None:
        """Hold the directory until this process ends.

        Raises:
            StoreError: another agent runs on it.
        """
        try:
            self._lock = os.open(
                self.directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise StoreError(f"another agent runs on {self.directory}") from exc
        except OSError as exc:
            raise StoreError(f"{self.directory}: {exc.strerror}") from exc

    def is_locked(self) -> bool:
        """Return whether an agent runs on this directory."""
        try:
            descriptor = os.open(self.directory / LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def unlock(self) -> None:
        """Let another agent have the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def has_identity(self) -> bool:
        """Return whether this gateway is enrolled."""
        return (self.directory / IDENTITY).exists()

    def write_identity(self, identity: Identity) -> None:
        """Keep who this gateway is, with its private keys (0600)."""
        document = {
            "portal": identity.portal,
            "insecure_http": identity.insecure_http,
            "ca_file": identity.ca_file,
            "gateway": identity.gateway,
            "deployment": identity.deployment,
            "epoch": identity.epoch,
            "snapshot_keys": [
                {"keyid": keyid, "public_key": _text(key)}
                for keyid, key in identity.snapshot_keys
            ],
            "signing_seed": _text(identity.signing_seed),
            "wireguard_private_key": identity.wireguard_private_key,
            "signing_key_at": identity.signing_key_at.isoformat()
            if identity.signing_key_at
            else None,
            "next_signing_seed": _text(identity.next_signing_seed),
            "endorsement": identity.endorsement,
            "keeps_floor": identity.keeps_floor,
        }
        self._write(IDENTITY, checked(document))

    def read_identity(self) -> Identity:
        """Return who this gateway is.

        Raises:
            StoreError: it is not enrolled, or the file is damaged.
        """
        try:
            document = self._read(IDENTITY)
        except StoreError as exc:
            raise StoreError(lost_identity(self.directory / IDENTITY)) from exc
        if document is None:
            raise StoreError(
                f"{self.directory} holds no identity: run `peerage-gateway enroll`"
            )
        try:
            return Identity(
                portal=str(document["portal"]),
                insecure_http=document["insecure_http"] is True,
                ca_file=str(document["ca_file"]),
                gateway=str(document["gateway"]),
                deployment=str(document["deployment"]),
                epoch=int(document["epoch"]),
                snapshot_keys=tuple(
                    (key["keyid"], base64.b64decode(key["public_key"], validate=True))
                    for key in document["snapshot_keys"]
                ),
                signing_seed=base64.b64decode(document["signing_seed"], validate=True),
                wireguard_private_key=str(document["wireguard_private_key"]),
                keeps_floor=document.get("keeps_floor") is True,
                **_rotation(document),
            )
        except (KeyError, TypeError, ValueError, binascii.Error) as exc:
            raise StoreError(lost_identity(self.directory / IDENTITY)) from exc

    def write_accepted(self, envelope: bytes) -> None:
        """Keep the snapshot that was accepted, durably, before it is applied."""
        self._write(ACCEPTED, envelope)

    def read_accepted(self) -> bytes | None:
        """Return the snapshot that was accepted last, or None."""
        return self._bytes(ACCEPTED)

    def write_lease(self, envelope: bytes) -> None:
        """Keep the lease that was accepted last."""
        self._write(LEASE, envelope)

    def read_lease(self) -> bytes | None:
        """Return the lease that was accepted last, or None."""
        return self._bytes(LEASE)

    def write_notices(self, kept: Notices) -> None:
        """Keep the notices that are in force, durably, before they are."""
        document = {
            "epoch": kept.epoch,
            "number": kept.number,
            "notices": [envelope.decode("ascii") for envelope in kept.envelopes],
        }
        self._write(NOTICES, json.dumps(document).encode())

    def read_notices(self) -> Notices | None:
        """Return the notices that were in force, or None if there never was one.

        Raises:
            StoreError: the file is damaged.
        """
        document = self._read(NOTICES)
        if document is None:
            return None
        try:
            return Notices(
                epoch=int(document["epoch"]),
                number=int(document["number"]),
                envelopes=tuple(
                    str(text).encode("ascii") for text in document["notices"]
                ),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise StoreError(damaged(self.directory / NOTICES)) from exc

    def write_names(self, resolved: Resolved) -> None:
        """Keep what host names stand for, so that a restart forgets none."""
        document = {
            host: {str(a): end.isoformat() for a, end in addresses.items()}
            for host, addresses in resolved.items()
        }
        self._write(NAMES, json.dumps(document, indent=1).encode())

    def read_names(self) -> Resolved:
        """Return what host names stood for, ended or not.

        Raises:
            StoreError: the file is damaged.
        """
        document = self._read(NAMES) or {}
        try:
            return {
                host_name(host): {
                    address(text): datetime.fromisoformat(end).astimezone(UTC)
                    for text, end in addresses.items()
                }
                for host, addresses in document.items()
            }
        except (AttributeError, TypeError, ValueError, CompilerError) as exc:
            raise StoreError(f"{self.directory / NAMES} is damaged") from exc

    def write_witness(self, document: dict[str, Any]) -> None:
        """Keep the witness's key and heads, durably, before a head is signed."""
        self._write(WITNESS, checked(document))

    def read_witness(self) -> dict[str, Any] | None:
        """Return what the witness keeps, or None before its first start.

        Raises:
            StoreError: the file is damaged.
        """
        return self._read(WITNESS)

    def keep_fork(self, name: str, request: bytes) -> None:
        """Keep the first thing a log signed that does not continue what it had."""
        if self._bytes(f"witness-{name}.fork") is None:
            self._write(f"witness-{name}.fork", request)

    def read_sequences(self) -> dict[str, int]:
        """Return the reserved sequence number of each channel.

        Raises:
            StoreError: the file is damaged; numbers that are used again would put
                the gateway in quarantine.
        """
        document = self._read(SEQUENCES) or {}
        try:
            return {str(name): int(number) for name, number in document.items()}
        except (TypeError, ValueError) as exc:
            raise StoreError(damaged(self.directory / SEQUENCES)) from exc

    def has_sequences(self) -> bool:
        """Return whether numbers were ever reserved; enrolment makes the file."""
        return (self.directory / SEQUENCES).exists()

    def write_sequences(self, sequences: dict[str, int]) -> None:
        """Reserve sequence numbers, durably, before they are used."""
        self._write(SEQUENCES, checked(dict(sequences)))

    def _read(self, name: str) -> dict[str, Any] | None:
        content = self._bytes(name)
        if content is None:
            return None
        try:
            return whole(content)
        except ValueError as exc:
            raise StoreError(damaged(self.directory / name)) from exc

    def _bytes(self, name: str) -> bytes | None:
        path = self.directory / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StoreError(f"{path} cannot be read: {exc.strerror}") from exc

    def _write(self, name: str, content: bytes) -> None:
        try:
            write_atomically(self.directory / name, content)
        except OSError as exc:
            path = self.directory / name
            raise StoreError(f"{path} cannot be written: {exc.strerror}") from exc


def _rotation(document: dict[str, Any]) -> dict[str, Any]:
    """Return what an identity says of its key's replacement; older ones say nothing."""
    at = document.get("signing_key_at")
    seed = base64.b64decode(document.get("next_signing_seed", ""), validate=True)
    return {
        "signing_key_at": datetime.fromisoformat(at).astimezone(UTC) if at else None,
        "next_signing_seed": seed,
        "endorsement": str(document.get("endorsement", "")),
    }


def checked(document: dict[str, Any]) -> bytes:
    """Return a document as bytes that tell when one of them was changed."""
    return json.dumps({**document, CHECKSUM: _checksum(document)}, indent=1).encode()


def whole(content: bytes) -> dict[str, Any]:
    """Return the document in these bytes; older ones have no checksum.

    Raises:
        ValueError: it is no JSON object, or was changed.
    """
    document = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError("not an object")  # noqa: TRY004 -- one error for what is damaged
    checksum = document.pop(CHECKSUM, None)
    if checksum not in {None, _checksum(document)}:
        raise ValueError("the checksum is another")
    return document


def damaged(path: Path) -> str:
    """Return what an operator is told of a file that is damaged or gone."""
    return (
        f"{path} is damaged: run `peerage-gateway accept --state {path.parent}`, which"
        " says what is lost by it and goes on without"
    )


def lost_identity(path: Path) -> str:
    """Return what an operator is told when the keys are damaged."""
    return (
        f"{path} is damaged, and with it this gateway's keys: retire it in the portal,"
        " and enrol this host with a new token in an empty state directory"
    )


def _checksum(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside, make durable, rename, make the rename durable."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
