"""The sealer's files: the key of each log, and what it signed last."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from audit.errors import SealError
from audit.key_files import KeyFileError, read_seed
from audit.sealing.deciding import Signed
from audit.tlog.note import VerifierKey

if TYPE_CHECKING:
    from audit.models import Log


def origin(log: Log) -> str:
    """Return the name under which a log signs."""
    return f"audit.{settings.PEERAGE_DEPLOYMENT}/{log.value}"


def key_file(log: Log) -> Path:
    """Return where the key of a log is."""
    return Path(settings.PEERAGE_LOG_KEY_DIR) / f"{log.value}.key"


def private_key(log: Log) -> Ed25519PrivateKey:
    """Return the key by which a log is signed.

    Raises:
        SealError: the file is absent, malformed, or readable by others.
    """
    try:
        return Ed25519PrivateKey.from_private_bytes(read_seed(key_file(log)))
    except KeyFileError as exc:
        raise SealError(str(exc)) from exc


def verifier_key(log: Log) -> VerifierKey:
    """Return the name and public key of a log, to hand on."""
    public_key = private_key(log).public_key().public_bytes_raw()
    return VerifierKey(name=origin(log), public_key=public_key)


def state_file(log: Log) -> Path:
    """Return where the sealer remembers what it signed of a log."""
    return Path(settings.PEERAGE_SEALER_STATE_DIR) / f"{log.value}.json"


def last_signed(log: Log) -> Signed | None:
    """Return what was signed last; None if there is no file.

    Raises:
        SealError: the file cannot be read.
    """
    path = state_file(log)
    try:
        told = json.loads(path.read_text(encoding="ascii"))
        return Signed(size=int(told["size"]), root=bytes.fromhex(told["root"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise SealError(f"the sealer's state at {path} is unreadable: {exc!r}") from exc


def remember(log: Log, signed: Signed) -> None:
    """Write down what is about to be signed; on the disk when this returns.

    Raises:
        SealError: the disk did not take it.
    """
    path = state_file(log)
    text = json.dumps({"size": signed.size, "root": signed.root.hex()}) + "\n"
    fresh = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with fresh.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as exc:
        raise SealError(f"{path} cannot be written: {exc.strerror}") from exc
