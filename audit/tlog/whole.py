"""A whole log checked: entries, tiles and checkpoints must all say the same tree.

Everything is made again from the entries and compared with what lies beside them, so
that a difference has an index. Bundles may be checked anywhere and in any order; one
hash for 256 leaves is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from audit.tlog.merkle import leaf_hash, root
from audit.tlog.note import NoteError
from audit.tlog.report import INCOMPLETE, TAMPERED, Fault, MissingError
from audit.tlog.strict_json import strict_json
from audit.tlog.tiles import (
    HEIGHT,
    WIDTH,
    TileError,
    TileTree,
    bundle_path,
    entries,
    hashes,
    tile_path,
    tile_width,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from audit.tlog.policy import Policy


HISTORY: Final = "checkpoints.jsonl"
"""Every checkpoint that was kept: size, root, at, note; not of C2SP."""


class Files(Protocol):
    """One log's files; `read` raises MissingError for one that is not there."""

    @property
    def name(self) -> str:
        """Return what faults call the log."""
        ...

    def read(self, path: str) -> bytes:
        """Return the file at a path of C2SP tlog-tiles."""
        ...

    def lines(self, path: str) -> list[Any]:
        """Return the values of a file of JSON lines; none where there is no file."""
        ...


@dataclass(slots=True)
class Bundle:
    """What was found in 256 entries. Without a root no hash of them is known."""

    number: int
    entries: list[bytes] = field(default_factory=list)
    root: bytes | None = None
    faults: list[Fault] = field(default_factory=list)
    moments: list[dict[str, float]] = field(default_factory=list)
    """When each was written, as far as whoever knows the entries can tell."""
    claims: Any = None
    """What they say of the log itself, as far as whoever knows them can tell."""


def check_bundle(files: Files, size: int, number: int) -> Bundle:
    """Check 256 entries of a tree against their tile."""
    found = Bundle(number)
    begin, width = number * WIDTH, tile_width(size, 0, number)
    held = _tile(files, size, 0, number, found.faults)
    try:
        path = bundle_path(number, width)
        found.entries = entries(files.read(path), width)
    except MissingError:
        found.faults.append(_missing(files, path, begin, begin + width))
    except TileError as exc:
        found.faults.append(Fault(TAMPERED, files.name, begin, f"{path}: {exc}"))
    made = list(map(leaf_hash, found.entries))
    if made and held:
        found.faults += (
            Fault(TAMPERED, files.name, begin + place, "entry and tile differ")
            for place, pair in enumerate(zip(made, held, strict=True))
            if pair[0] != pair[1]
        )
    found.root = root(made or held) if made or held else None
    return found


def checked_tree(
    files: Files, size: int, roots: Iterable[bytes | None], faults: list[Fault]
) -> TileTree:
    """Return the tree over the entries, its upper tiles compared with those held.

    `roots` are those of the bundles, in order. Faults are added to `faults`.
    """
    rows: list[list[bytes | None]] = [[], list(roots)[: size // WIDTH]]
    while rows[-1]:
        rows.append(list(_row_above(files, size, len(rows) - 1, rows[-1], faults)))

    def read(level: int, index: int, width: int) -> bytes:
        if not level:
            return b"".join(_leaf_hashes(files, size, index))
        part = rows[level][index * WIDTH :][:width]
        known = [value for value in part if value]
        if len(known) != width:
            raise MissingError(tile_path(level, index, width))
        return b"".join(known)

    return TileTree(size=size, read=lru_cache(WIDTH)(read))


def check_checkpoint(
    files: Files, policy: Policy, tree: TileTree, note: bytes, *, sure: int
) -> tuple[int, list[Fault]]:
    """Check one checkpoint against the tree; return its size and the faults.

    `sure` is the size of the last one that fitted: what is wrong lies behind it.
    """
    try:
        told = policy.check(note).checkpoint
        if told.size > tree.size:
            message = f"a checkpoint saw {told.size} leaves, where now {tree.size} are"
            return sure, [Fault(TAMPERED, files.name, tree.size, message, told.size)]
        if tree.root(told.size) != told.root:
            message = f"the entries are not those of the checkpoint of {told.size}"
            return sure, [Fault(TAMPERED, files.name, sure, message, told.size)]
    except NoteError as exc:
        message = f"a checkpoint is refused: {exc}"
        return sure, [Fault(TAMPERED, files.name, None, message)]
    except (MissingError, TileError):
        # What is missing was told where it is missing.
        return sure, []
    return told.size, []


def parsed_entries(files: Files, size: int) -> Iterator[tuple[int, Any]]:
    """Yield each entry that is there with its index, read as JSON.

    Raises:
        ValueError: one is not JSON.
    """
    for number in range(-(-size // WIDTH)):
        width = tile_width(size, 0, number)
        try:
            data = entries(files.read(bundle_path(number, width)), width)
        except MissingError:
            continue
        for place, entry in enumerate(data):
            yield number * WIDTH + place, strict_json(entry)


def is_pruned(fault: Fault, below: int) -> bool:
    """Return whether a fault says only that pruned leaves are not there."""
    return fault.what == INCOMPLETE and fault.until is not None and fault.until <= below


def _row_above(
    files: Files,
    size: int,
    level: int,
    row: list[bytes | None],
    faults: list[Fault],
) -> Iterator[bytes | None]:
    """Compare a level's tiles with its row, and complete the row; yield their roots."""
    for begin in range(0, len(row), WIDTH):
        part = row[begin : begin + WIDTH]
        held = _tile(files, size, level, begin // WIDTH, faults)
        for place, kept in enumerate(held, begin):
            if row[place] is None:
                row[place] = kept
            elif row[place] != kept:
                first = place << (HEIGHT * level)
                message = f"a tile of level {level} differs from what is below it"
                until = (place + 1) << (HEIGHT * level)
                faults.append(Fault(TAMPERED, files.name, first, message, until))
        if len(part) == WIDTH:
            known = [value for value in row[begin : begin + WIDTH] if value]
            yield root(known) if len(known) == WIDTH else None


def _leaf_hashes(files: Files, size: int, number: int) -> list[bytes]:
    """Return hashes of entries; from the tile where the entries are gone."""
    width = tile_width(size, 0, number)
    try:
        data = entries(files.read(bundle_path(number, width)), width)
    except (MissingError, TileError):
        return hashes(files.read(tile_path(0, number, width)), width)
    return list(map(leaf_hash, data))


def _tile(
    files: Files, size: int, level: int, index: int, faults: list[Fault]
) -> list[bytes]:
    """Return the hashes of a tile that is held; nothing where there is none."""
    width = tile_width(size, level, index)
    path = tile_path(level, index, width)
    begin = index * WIDTH << (HEIGHT * level)
    until = begin + (width << (HEIGHT * level))
    try:
        return hashes(files.read(path), width)
    except MissingError:
        faults.append(_missing(files, path, begin, until))
    except TileError as exc:
        faults.append(Fault(TAMPERED, files.name, begin, f"{path}: {exc}", until))
    return []


def _missing(files: Files, path: str, begin: int, until: int) -> Fault:
    return Fault(INCOMPLETE, files.name, begin, f"{path} is missing", until)
