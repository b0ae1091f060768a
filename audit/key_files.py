"""Ed25519 seeds in files that their owner alone may read.

A seed is 32 random bytes in base64. It is read at every use: a key that was replaced
takes effect at once, and one that became readable by others stops signing at once.
Nothing here logs or returns a seed in words.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from typing import TYPE_CHECKING, Final

from audit.errors import AuditError

if TYPE_CHECKING:
    from pathlib import Path

SEED_BYTES: Final = 32
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeyFileError(AuditError):
    """A key file is absent, malformed, or readable by others."""


def create_key_file(path: Path) -> bool:
    """Write a new key, readable by its owner alone; return False if one is there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(SEED_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def read_seed(path: Path) -> bytes:
    """Return the 32 bytes of a key.

    Raises:
        KeyFileError: the file is absent, malformed, or readable by others.
    """
    try:
        with path.open("rb") as file:
            # Of the open file, so that nobody exchanges it between look and read.
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(1024)
    except FileNotFoundError as exc:
        msg = f"there is no signing key at {path}; run manage.py init_keys"
        raise KeyFileError(msg) from exc
    except OSError as exc:
        msg = f"the signing key at {path} cannot be read: {exc.strerror}"
        raise KeyFileError(msg) from exc
    if mode & OTHERS:
        msg = f"others may read the signing key at {path}; run chmod 600 {path}"
        raise KeyFileError(msg)
    try:
        seed = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as exc:
        msg = f"the signing key at {path} is not base64"
        raise KeyFileError(msg) from exc
    if len(seed) != SEED_BYTES:
        msg = f"the signing key at {path} has {len(seed)} bytes, not {SEED_BYTES}"
        raise KeyFileError(msg)
    return seed
