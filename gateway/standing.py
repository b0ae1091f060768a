"""What never goes back at this gateway, on its own disk, whatever snapshot it holds.

* **Revoked keys**: every key that a snapshot or a notice ever named as revoked. The
  set only grows. It is one file that is only appended to; a line that a crash cut
  short is dropped, because what it came from is named again.
* **Epoch and floor**: the highest epoch that a signed step led to, and the generation
  with which it begins. Kept before it is used.
* **Contradictions**: signed things that give one generation two contents. Both sides
  are kept as evidence; nothing reads them but people.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from gateway.errors import StoreError
from gateway.store import sync_directory, write_atomically
from gateway.trust import Anchor
from policies.compiler.epoch import EpochStep
from policies.compiler.snapshot import digest

VERSION: Final = 1
REVOKED: Final = "revoked"
EPOCH: Final = "epoch.json"
CONTRADICTIONS: Final = "contradictions"
MAX_CONTRADICTIONS: Final = 64
"""Files; what repeats is one file, and nobody shall fill the disk."""
KEY: Final = re.compile(rb"[A-Za-z0-9+/]{43}=")


class RevokedKeys:
    """A set of public keys that only grows."""

    def __init__(self, path: Path) -> None:
        """Read what is known.

        Raises:
            StoreError: the file cannot be read, or is damaged.
        """
        self._path = path
        self._whole = 0
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
        fresh = [key for key in keys if key not in self._keys]
        self._keys.update(fresh)
        self._waiting += fresh
        if not self._waiting:
            return
        try:
            self._append("".join(f"{key}\n" for key in self._waiting).encode())
        except OSError as exc:
            raise StoreError(f"{self._path} cannot be written: {exc.strerror}") from exc
        self._waiting.clear()

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

    def _read(self) -> Iterator[str]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as exc:
            raise StoreError(f"{self._path} cannot be read: {exc.strerror}") from exc
        self._whole = content.rfind(b"\n") + 1
        for line in content[: self._whole].splitlines():
            if KEY.fullmatch(line) is None:
                raise StoreError(f"{self._path} is damaged")
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
        self._epoch, self._floor = self._read_epoch()

    def raised(self, anchor: Anchor) -> Anchor:
        """Return what enrolment pinned, in the epoch reached since."""
        if self._epoch <= anchor.epoch:
            return anchor
        return replace(anchor, epoch=self._epoch, floor=self._floor)

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

    def _read_epoch(self) -> tuple[int, int]:
        path = self._directory / EPOCH
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
            raise StoreError(f"{path} is damaged") from exc

    def _write(self, name: str, content: bytes) -> None:
        path = self._directory / name
        try:
            write_atomically(path, content)
        except OSError as exc:
            raise StoreError(f"{path} cannot be written: {exc.strerror}") from exc
