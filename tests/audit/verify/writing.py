"""Write a log as files, as a sealer's export does; and the parties who sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.tlog.merkle import leaf_hash, root
from audit.tlog.note import Checkpoint, VerifierKey, sign_note
from audit.tlog.tiles import WIDTH, bundle, bundle_path, tile_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
ORIGIN: Final = "audit.example/control"
VKEY: Final = str(
    VerifierKey(name=ORIGIN, public_key=KEY.public_key().public_bytes_raw())
)


def write(place: Path, path: str, data: bytes) -> None:
    """Write one file and the directories above it."""
    (place / path).parent.mkdir(parents=True, exist_ok=True)
    (place / path).write_bytes(data)


def checkpoint(
    entries: Sequence[bytes],
    *,
    origin: str = ORIGIN,
    key: Ed25519PrivateKey = KEY,
) -> str:
    """Return the signed checkpoint over entries."""
    found = Checkpoint(
        origin=origin, size=len(entries), root=root(list(map(leaf_hash, entries)))
    )
    return str(sign_note(found.text(), name=origin, key=key))


def write_log(
    place: Path,
    entries: Sequence[bytes],
    *,
    origin: str = ORIGIN,
    key: Ed25519PrivateKey = KEY,
) -> None:
    """Write entries, tiles, checkpoint and key of a log."""
    for begin in range(0, len(entries), WIDTH):
        part = entries[begin : begin + WIDTH]
        write(place, bundle_path(begin // WIDTH, len(part)), bundle(part))
    level, row = 0, list(map(leaf_hash, entries))
    while row:
        above = []
        for begin in range(0, len(row), WIDTH):
            part = row[begin : begin + WIDTH]
            path = tile_path(level, begin // WIDTH, len(part))
            write(place, path, b"".join(part))
            if len(part) == WIDTH:
                above.append(root(part))
        level, row = level + 1, above
    write(place, "checkpoint", checkpoint(entries, origin=origin, key=key).encode())
    verifier = VerifierKey(name=origin, public_key=key.public_key().public_bytes_raw())
    write(place, "vkey", f"{verifier}\n".encode())
