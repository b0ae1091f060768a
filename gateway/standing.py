"""What never goes back at this gateway, on its own disk, whatever snapshot it holds.

* **Revoked keys**: every key that an accepted snapshot or notice ever named as revoked.
  The set only grows. It is one file that is only appended to; a line that a crash cut
  short is dropped, because what it came from is on disk before it and named again.
* **Epoch and floor**: the highest epoch that a signed step led to, and the generation
  with which it begins. Kept before it is used.
* **The generation accepted**: with its epoch, and how many revoked keys are known, so
  that a snapshot or a file that is lost does not take the floor with it.
* **Contradictions**: signed things that give one generation two contents. Both sides
  are kept as evidence; nothing reads them but people.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from gateway.errors import StoreError
from gateway.store import (
    checked,
    damaged,
    sync_directory,
    whole,
    write_atomically,
)
from gateway.trust import Anchor
from policies.compiler.epoch import EpochStep
from policies.compiler.snapshot import digest

VERSION: Final = 1
REVOKED: Final = "revoked"
EPOCH: Final = "epoch.json"
FLOOR: Final = "floor.json"
CONTRADICTIONS: Final = "contradictions"
MAX_CONTRADICTIONS: Final = 64
"""Files; what repeats is one file, and nobody shall fill the disk."""
LINE: Final = 45
"""Bytes: a key of 44 characters and the end of the line."""
KEY: Final = re.compile(rb"[A-Za-z0-9+/]{43}=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The generation accepted last, its epoch, and which revoked keys were known."""

    epoch: int
    generation: int
    revoked: int
    revoked_sha256: str


NOTHING_KEPT: Final = Floor(
    epoch=0,
    generation=0,
    revoked=0,
    revoked_sha256=hashlib.sha256().hexdigest(),
)


class RevokedKeys:
    """A set of public keys that only grows."""

    def __init__(self, path: Path) -> None:
        """Read what is known.

        Raises:
            StoreError: the file cannot be read, or is damaged.
        """
        self._path = path
        self._lock = threading.Lock()
        self._whole = 0
        self._sha256 = hashlib.sha256()
        self._keys = set(self._read())
        self._waiting: list[str] = []

    def __contains__(self, key: object) -> bool:
        """Return whether a key is known to be revoked."""
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        """Go through the keys, in no order."""
        return iter(self._keys)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._keys)

    def add(self, keys: Iterable[str]) -> None:
        """Know these for ever; durable when this returns.

        Known they are in any case: what could not be written is written next time.

        Raises:
            StoreError: it could not be made durable.
        """
        with self._lock:
            fresh = [key for key in keys if key not in self._keys]
            self._keys.update(fresh)
            self._waiting += fresh
            if not self._waiting:
                return
            try:
                self._append("".join(f"{key}\n" for key in self._waiting).encode())
            except OSError as exc:
                msg = f"{self._path} cannot be written: {exc.strerror}"
                raise StoreError(msg) from exc
            self._waiting.clear()

    @property
    def written(self) -> tuple[int, str]:
        """How many keys are on disk, and the SHA-256 of their lines."""
        with self._lock:
            return self._whole // LINE, self._sha256.hexdigest()

    def begins_with(self, count: int, sha256: str) -> bool:
        """Return whether the first `count` keys on disk are those of this digest."""
        lines = self._path.read_bytes()[: count * LINE] if count else b""
        return hashlib.sha256(lines).hexdigest() == sha256

    def _append(self, lines: bytes) -> None:
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            # Over whatever a crash left of a line.
            file.truncate(self._whole)
            file.seek(self._whole)
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_directory(self._path.parent)
        self._whole += len(lines)
        self._sha256.update(lines)

    def _read(self) -> Iterator[str]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as exc:
            raise StoreError(f"{self._path} cannot be read: {exc.strerror}") from exc
        self._whole = content.rfind(b"\n") + 1
        self._sha256.update(content[: self._whole])
        for line in content[: self._whole].splitlines():
            if KEY.fullmatch(line) is None:
                raise StoreError(damaged(self._path))
            yield line.decode("ascii")


class Standing:
    """The files that outlive every snapshot, in one state directory."""

    def __init__(self, directory: Path) -> None:
        """Read them.

        Raises:
            StoreError: one cannot be read, or is damaged.
        """
        self._directory = directory
        self.revoked = RevokedKeys(directory / REVOKED)
        self._epoch, self._floor = read_epoch(directory)
        kept = read_floor(directory)
        if not is_remembered(kept, self.revoked):
            raise StoreError(damaged(directory / REVOKED))
        self._kept = (kept.epoch, kept.generation)

    def raised(self, anchor: Anchor) -> Anchor:
        """Return what enrolment pinned, in the epoch and generation reached since."""
        if self._epoch > anchor.epoch:
            anchor = replace(anchor, epoch=self._epoch, floor=self._floor)
        epoch, generation = self._kept
        if epoch < anchor.epoch:
            return anchor
        return replace(anchor, epoch=epoch, floor=max(anchor.floor, generation))

    @property
    def kept(self) -> tuple[int, int]:
        """The epoch and generation accepted last; nothing older is acceptable."""
        return self._kept

    def has_floor(self) -> bool:
        """Return whether a generation was ever kept here."""
        return (self._directory / FLOOR).exists()

    def remember(self, epoch: int, generation: int) -> None:
        """Accept nothing older from now on; durable when this returns.

        Raises:
            StoreError: it could not be made durable.
        """
        if (epoch, generation) <= self._kept and self.has_floor():
            return
        write_floor(self._directory, floor_with(epoch, generation, self.revoked))
        self._kept = (epoch, generation)

    def go_up(self, step: EpochStep) -> None:
        """Keep a step that was accepted, durably.

        Raises:
            StoreError: it could not be made durable; nothing changed.
        """
        document = {
            "version": VERSION,
            "epoch": step.after,
            "generation": step.generation,
        }
        self._write(EPOCH, json.dumps(document).encode())
        self._epoch, self._floor = step.after, step.generation

    def keep_contradiction(self, *envelopes: bytes) -> tuple[Path, ...]:
        """Keep signed things that contradict each other; return where.

        Raises:
            StoreError: they could not be kept.
        """
        folder = self._directory / CONTRADICTIONS
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            kept = {path.name for path in folder.iterdir()}
            names = [f"{digest(envelope)[:32]}.json" for envelope in envelopes]
            if len(kept.union(names)) > MAX_CONTRADICTIONS:
                return ()
            for name, envelope in zip(names, envelopes, strict=True):
                if name not in kept:
                    write_atomically(folder / name, envelope)
        except OSError as exc:
            raise StoreError(f"{folder}: {exc.strerror}") from exc
        return tuple(folder / name for name in names)

    def _write(self, name: str, content: bytes) -> None:
        path = self._directory / name
        try:
            write_atomically(path, content)
        except OSError as exc:
            raise StoreError(f"{path} cannot be written: {exc.strerror}") from exc


def read_epoch(directory: Path) -> tuple[int, int]:
    """Return the epoch that a step led to and the generation it begins with, or 0.

    Raises:
        StoreError: the file cannot be read, or is damaged.
    """
    path = directory / EPOCH
    try:
        document = json.loads(path.read_bytes())
        if document["version"] != VERSION:
            raise StoreError(f"{path} is of another version: upgrade the agent")
        return int(document["epoch"]), int(document["generation"])
    except FileNotFoundError:
        return 0, 0
    except OSError as exc:
        raise StoreError(f"{path} cannot be read: {exc.strerror}") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreError(damaged(path)) from exc


def read_floor(directory: Path) -> Floor:
    """Return what was accepted last, zeros for nothing.

    Raises:
        StoreError: the file cannot be read, or is damaged.
    """
    path = directory / FLOOR
    try:
        document = whole(path.read_bytes())
        return Floor(
            epoch=int(document["epoch"]),
            generation=int(document["generation"]),
            revoked=int(document["revoked"]),
            revoked_sha256=str(document["revoked_sha256"]),
        )
    except FileNotFoundError:
        return NOTHING_KEPT
    except OSError as exc:
        raise StoreError(f"{path} cannot be read: {exc.strerror}") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreError(damaged(path)) from exc


def floor_with(epoch: int, generation: int, revoked: RevokedKeys) -> Floor:
    """Return a floor that remembers the revoked keys on disk."""
    count, sha256 = revoked.written
    return Floor(
        epoch=epoch, generation=generation, revoked=count, revoked_sha256=sha256
    )


def is_remembered(floor: Floor, revoked: RevokedKeys) -> bool:
    """Return whether every key that was known is still there as it was."""
    count, _ = revoked.written
    return count >= floor.revoked and revoked.begins_with(
        floor.revoked, floor.revoked_sha256
    )


def write_floor(directory: Path, floor: Floor) -> None:
    """Keep what was accepted last, durably.

    Raises:
        StoreError: it could not be made durable.
    """
    path = directory / FLOOR
    try:
        write_atomically(path, checked(asdict(floor)))
    except OSError as exc:
        raise StoreError(f"{path} cannot be written: {exc.strerror}") from exc
