"""A sealed log as files that an auditor takes along: C2SP tlog-tiles, and its rows.

A tile or bundle that is full never changes, so an export into the same directory
writes only what is new. Every file is written beside its place and then renamed, the
checkpoint last: whoever copies the directory meanwhile, or after a crash, finds a
checkpoint whose tiles are all there.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from audit.checking import pruned_below
from audit.errors import SealError
from audit.models import (
    Log,
)
from audit.rows import rows_path
from audit.sealed_files import CHECKPOINT, history, rows
from audit.sealing import tables
from audit.tlog.note import parse_checkpoint
from audit.tlog.tiles import WIDTH, bundle, bundle_path, tile_path, tile_width, tiles
from audit.tlog.whole import HISTORY
from audit.witnesses import cosigned_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERIFIER_KEY: Final = "vkey"


def export(
    log: Log,
    directory: Path,
    *,
    verifier_key: str,
    with_rows: bool,
    cosigned: bool = False,
) -> int:
    """Write one log below `directory`; return how many leaves its checkpoint covers.

    That is the newest checkpoint, or with `cosigned` the one that most witnesses have
    signed, which is a minute older. Rows are written anew each time, because they
    change when a person is forgotten.

    Raises:
        SealError: nothing was sealed yet, or the tables are incomplete.
        OSError: the disk did not take it.
    """
    note = cosigned_note(log, newest=not cosigned)
    if note is None:
        raise SealError(f"nothing of the {log.value} log was sealed yet")
    size = parse_checkpoint(note.partition("\n\n")[0] + "\n").size
    home = directory / log.value
    for level, index, width in tiles(size):
        path = home / tile_path(level, index, width)
        if not path.exists():
            held = tables.nodes(log, level, index * WIDTH, width)
            _write(path, b"".join(held))
    # What was pruned is not there; hashes are, and a copy made before keeps its rows.
    for number in range(pruned_below(log) // WIDTH, -(-size // WIDTH)):
        _write_bundle(log, home, number, tile_width(size, 0, number))
        if with_rows:
            begin = number * WIDTH
            lines = _lines(rows(log, begin, min(begin + WIDTH, size)))
            _write(home / rows_path(number), lines)
    _write(home / VERIFIER_KEY, f"{verifier_key}\n".encode())
    _write(home / HISTORY, _lines(history(log, up_to=size)))
    _write(home / CHECKPOINT, note.encode())
    return size


def _write_bundle(log: Log, home: Path, number: int, width: int) -> None:
    path = home / bundle_path(number, width)
    if path.exists():
        return
    begin = number * WIDTH
    event_ids = tables.event_ids(log, begin, begin + width)
    leaves = tables.event_leaves(log, event_ids)
    missing = [
        begin + place for place, key in enumerate(event_ids) if key not in leaves
    ]
    if missing or len(event_ids) != width:
        raise SealError(
            f"leaves {missing or f'{begin} to {begin + width}'} of the {log.value} log"
            " are gone. Run manage.py verify_log"
        )
    _write(path, bundle(leaves[key] for key in event_ids))


def _lines(values: Iterator[dict[str, Any]]) -> bytes:
    return b"".join(
        json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        for value in values
    )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
