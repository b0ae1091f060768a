"""What a witness keeps on disk: its key, and the head of each log it knows.

A head is durable before anybody sees a signature over it. One process at a time: the
directory is locked, because two would sign from two memories.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.tlog.cosignature import WitnessKey, cosign
from audit.tlog.note import parse_note
from audit.tlog.witnessing import ForkError, Head, StrangerError, judge, parse_request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audit.tlog.note import NoteSignature, VerifierKey

SEED_BYTES: Final = 32
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
KEY: Final = "key.json"
LOCK: Final = "lock"


class KeepingError(Exception):
    """The directory cannot be used, and why."""


def create(directory: Path, name: str) -> WitnessKey:
    """Make a witness's directory and key; return the public half.

    Raises:
        KeepingError: there is a key already.
        NoteError: the name cannot name a key.
    """
    seed = secrets.token_bytes(SEED_BYTES)
    key = _public(name, seed)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (directory / KEY).exists():
        raise KeepingError(f"{directory / KEY} is there already")
    document = {"name": name, "seed": base64.b64encode(seed).decode()}
    write_durably(directory / KEY, json.dumps(document).encode())
    return key


class Witness:
    """Signs what continues what it signed before. Threads may share it."""

    def __init__(self, directory: Path, logs: Iterable[VerifierKey]) -> None:
        """Take up what the directory holds.

        Raises:
            KeepingError: no key, one that others may read, or another process.
        """
        self._directory = directory
        self._logs = {key.name: key for key in logs}
        self._name, self._seed = _read_key(directory / KEY)
        self._busy = threading.Lock()
        self._lock = (directory / LOCK).open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            self._lock.close()
            raise KeepingError(f"another witness uses {directory}") from exc

    @property
    def key(self) -> WitnessKey:
        """Return the public half of its key."""
        return _public(self._name, self._seed)

    def close(self) -> None:
        """Let go of the directory."""
        self._lock.close()

    def head(self, origin: str) -> Head:
        """Return the largest tree that was signed for a log."""
        try:
            found = json.loads(self._path(origin).read_bytes())
        except FileNotFoundError:
            return Head()
        return Head(size=found["size"], root=base64.b64decode(found["root"]))

    def add_checkpoint(self, data: bytes, *, at: int) -> NoteSignature:
        """Return the signature under a checkpoint; `at` in POSIX seconds.

        Raises:
            WitnessError: it is refused. A fork is kept in the directory as evidence.
        """
        request = parse_request(data)
        origin = request.checkpoint().origin
        if origin not in self._logs:
            raise StrangerError(f"the log {origin!r} is not known here")
        with self._busy:
            known = self.head(origin)
            try:
                found = judge(request, key=self._logs[origin], known=known)
            except ForkError:
                self._keep_evidence(origin, data)
                raise
            if found != known:
                self._keep(origin, found)
        key = Ed25519PrivateKey.from_private_bytes(self._seed)
        return cosign(parse_note(request.note).text, name=self._name, key=key, at=at)

    def _keep(self, origin: str, head: Head) -> None:
        root = base64.b64encode(head.root).decode()
        document = {"origin": origin, "size": head.size, "root": root}
        write_durably(self._path(origin), json.dumps(document).encode())

    def _keep_evidence(self, origin: str, data: bytes) -> None:
        path = self._path(origin).with_suffix(".fork")
        # The first one convicts; whoever sends many does not fill the disk.
        if not path.exists():
            write_durably(path, data)

    def _path(self, origin: str) -> Path:
        # An origin may hold slashes: it names no file by itself.
        digest = hashlib.sha256(origin.encode()).hexdigest()
        return self._directory / f"{digest[:32]}.json"


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file; after return it survives a loss of power."""
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_key(path: Path) -> tuple[str, bytes]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            document = json.loads(file.read())
        name, seed = str(document["name"]), base64.b64decode(document["seed"])
    except FileNotFoundError as exc:
        raise KeepingError(f"there is no key at {path}; run `keygen`") from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise KeepingError(f"the key at {path} cannot be read") from exc
    if mode & OTHERS:
        raise KeepingError(f"others may read {path}; run chmod 600 {path}")
    if len(seed) != SEED_BYTES:
        raise KeepingError(f"the key at {path} has {len(seed)} bytes")
    return name, seed


def _public(name: str, seed: bytes) -> WitnessKey:
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return WitnessKey(name=name, public_key=public.public_bytes_raw())
