"""A sealed log as files that an auditor takes along: C2SP tlog-tiles, and its rows.

A tile or bundle that is full never changes, so an export into the same directory
writes only what is new. Every file is written beside its place and then renamed, the
checkpoint last: whoever copies the directory meanwhile, or after a crash, finds a
checkpoint whose tiles are all there.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any, Final

from audit.errors import SealError
from audit.leaves import event_row, flow_row, moment, shape_of
from audit.models import (
    AuditEvent,
    FlowEvent,
    IdentitySalt,
    Log,
    SealedCheckpoint,
    SealedLeaf,
)
from audit.sealing import tables
from audit.tlog.note import parse_checkpoint
from audit.tlog.tiles import WIDTH, bundle, bundle_path, tile_path, tile_width, tiles
from audit.witnesses import cosigned_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHECKPOINT: Final = "checkpoint"
HISTORY: Final = "checkpoints.jsonl"
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
    for number in range(-(-size // WIDTH)):
        _write_bundle(log, home, number, tile_width(size, 0, number))
        if with_rows:
            lines = _lines(_rows(log, number * WIDTH, size))
            _write(home / f"rows/{number:06d}.jsonl", lines)
    _write(home / VERIFIER_KEY, f"{verifier_key}\n".encode())
    _write(home / HISTORY, _lines(_history(log, size)))
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


def _rows(log: Log, begin: int, size: int) -> Iterator[dict[str, Any]]:
    """Yield each row with the salts that open its leaf; null is a forgotten one."""
    end = min(begin + WIDTH, size)
    places = SealedLeaf.objects.filter(log=log, index__gte=begin, index__lt=end)
    index_of = dict(places.values_list("event_id", "index"))
    model: type[AuditEvent | FlowEvent] = tables.EVENTS[log]
    found = model.objects.filter(id__in=list(index_of))
    rows = {
        index_of[event.pk]: flow_row(event)
        if log is Log.CONNECTIONS
        else event_row(event)
        for event in found
    }
    people = {index: shape_of(row).persons for index, row in rows.items()}
    kept = IdentitySalt.objects.in_bulk(
        sorted(frozenset[str]().union(*people.values()))
    )
    for index, row in sorted(rows.items()):
        salts = {who: kept[who].salt for who in sorted(people[index]) if who in kept}
        yield {
            "i": index,
            "row": row,
            "salts": {
                who: None if salt is None else base64.b64encode(bytes(salt)).decode()
                for who, salt in salts.items()
            },
        }


def _history(log: Log, size: int) -> Iterator[dict[str, Any]]:
    kept = SealedCheckpoint.objects.filter(log=log, size__lte=size).order_by("size")
    for row in kept.iterator():
        yield {
            "size": row.size,
            "root": bytes(row.root).hex(),
            "at": moment(row.at),
            "note": row.note,
        }


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
