"""A log in the database, read as the files that an export of it would have.

So the stand-alone verifier judges the database itself, and proofs are made from it,
by the same code that an auditor runs on a copy.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from audit.errors import LeafError
from audit.leaves import MENTIONED, event_row, flow_row, moment, shape_of
from audit.models import (
    AuditEvent,
    Cosignature,
    ErasedMention,
    FlowEvent,
    IdentitySalt,
    Log,
    SealedCheckpoint,
    SealedLeaf,
    SealedTile,
    SealerState,
)
from audit.sealing import tables
from audit.tlog.merkle import leaf_hash, root
from audit.tlog.report import MissingError
from audit.tlog.tiles import WIDTH, bundle, hashes, parse_path
from audit.tlog.whole import HISTORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

CHECKPOINT: Final = "checkpoint"


@dataclass(frozen=True, slots=True)
class SealedFiles:
    """One log's files; see `audit.tlog.whole.Files`."""

    log: Log

    @property
    def name(self) -> str:
        """Return what faults call the log."""
        return self.log.value

    def read(self, path: str) -> bytes:
        """Return a file that an export would have at a path."""
        if path == CHECKPOINT:
            return checkpoint(self.log)
        level, index, width = parse_path(path)
        begin = index * WIDTH
        if level is None:
            return bundle(_leaves(self.log, begin, begin + width))
        return _tile(self.log, level, index, width)

    def lines(self, path: str) -> list[Any]:
        """Return the values of a file of JSON lines."""
        if path == HISTORY:
            return list(history(self.log))
        begin = int(path.removeprefix("rows/").removesuffix(".jsonl")) * WIDTH
        return list(rows(self.log, begin, begin + WIDTH))


def checkpoint(log: Log) -> bytes:
    """Return the newest checkpoint with its cosignatures."""
    state = SealerState.objects.filter(log=log).first()
    if state is None:
        raise MissingError(f"{log.value}/{CHECKPOINT}")
    lines = Cosignature.objects.filter(log=log, size=state.size).order_by("witness")
    return (state.note + "".join(lines.values_list("line", flat=True))).encode()


def events(log: Log, begin: int, end: int) -> dict[int, AuditEvent | FlowEvent]:
    """Return the events with the indexes from `begin` to below `end` that are there."""
    places = _places(log, begin, end)
    # A leaf is read with the leaves.
    found = tables.EVENTS[log].objects.defer("leaf").in_bulk(list(places.values()))
    return {index: found[number] for index, number in places.items() if number in found}


def opened(found: Sequence[AuditEvent | FlowEvent]) -> Iterator[dict[str, Any]]:
    """Yield the row of each event, and the salts that open its leaf.

    A salt that is None is that of somebody who was forgotten.
    """
    read = [
        flow_row(event) if isinstance(event, FlowEvent) else event_row(event)
        for event in found
    ]
    people = list(map(_persons, read))
    named = _mentioned(found)
    kept = IdentitySalt.objects.in_bulk(sorted(frozenset[str]().union(*people)))
    for event, row, persons in zip(found, read, people, strict=True):
        yield {
            "row": row,
            "salts": {
                person: None if salt is None else base64.b64encode(salt).decode()
                for person in sorted(persons)
                if person in kept
                for salt in (kept[person].salt,)
            }
            | dict.fromkeys(
                named.get(event.uid, ()) if isinstance(event, AuditEvent) else ()
            ),
        }


def _mentioned(found: Sequence[AuditEvent | FlowEvent]) -> dict[UUID, list[str]]:
    """Return who was named in what events say of others, and was forgotten."""
    uids = [event.uid for event in found if isinstance(event, AuditEvent)]
    held: dict[UUID, list[str]] = {}
    for mark in ErasedMention.objects.filter(event_uid__in=uids) if uids else ():
        held.setdefault(mark.event_uid, []).append(f"{MENTIONED}{mark.person_id}")
    return held


def _persons(row: dict[str, Any]) -> frozenset[str]:
    try:
        return shape_of(row).persons
    except LeafError:
        # It makes no leaf, whatever the salts: whoever checks it will say so.
        return frozenset()


def _leaves(log: Log, begin: int, end: int) -> list[bytes]:
    places = _places(log, begin, end)
    held = tables.EVENTS[log].objects.filter(pk__in=places.values())
    found = dict(held.values_list("pk", "leaf"))
    if len(found) != end - begin:
        raise MissingError(f"{log.value} leaves {begin} to {end}")
    return [bytes(found[number] or b"") for number in places.values()]


def _places(log: Log, begin: int, end: int) -> dict[int, int]:
    places = SealedLeaf.objects.filter(log=log, index__gte=begin, index__lt=end)
    return dict(places.order_by("index").values_list("index", "event_id"))


def _tile(log: Log, level: int, index: int, width: int) -> bytes:
    """Return a tile: as it was sealed, or, where it still grows, made from below."""
    if width == WIDTH:
        row = SealedTile.objects.filter(log=log, level=level, index=index).first()
        if row is None:
            raise MissingError(f"{log.value} tile {level}/{index}")
        return bytes(row.data)
    begin = index * WIDTH
    if not level:
        return b"".join(map(leaf_hash, _leaves(log, begin, begin + width)))
    below = SealedTile.objects.filter(
        log=log, level=level - 1, index__gte=begin, index__lt=begin + width
    ).order_by("index")
    parts = [root(hashes(bytes(tile.data), WIDTH)) for tile in below]
    if len(parts) != width:
        raise MissingError(f"{log.value} tiles below {level}/{index}")
    return b"".join(parts)


def rows(log: Log, begin: int, end: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of some leaves, with their indexes, and what opens the leaves."""
    found = events(log, begin, end)
    for index, line in zip(found, opened(list(found.values())), strict=True):
        yield {"i": index, **line}


def history(log: Log, *, up_to: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the checkpoints that are kept, those of at most `up_to` leaves."""
    kept = SealedCheckpoint.objects.filter(log=log)
    if up_to is not None:
        kept = kept.filter(size__lte=up_to)
    for row in kept.order_by("size").iterator():
        yield {
            "size": row.size,
            "root": bytes(row.root).hex(),
            "at": moment(row.at),
            "note": row.note,
        }
