"""The tables of the sealed log against each other: what no export could show.

The tree proves what was sealed. Here is found what lies beside it: an event in no tree
and not waiting for one, a place in the tree without its event, a checkpoint that does
not fit the one before it. Tables are read in parts, in the order of the index.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Exists, OuterRef

from audit.errors import LeafError
from audit.events import EventCode
from audit.leaves import agrees
from audit.models import (
    AuditEvent,
    FlowEvent,
    Log,
    Outbox,
    SealedCheckpoint,
    SealedLeaf,
    SealedTile,
    SealerState,
)
from audit.parts import parts
from audit.rows import salts
from audit.sealed_files import opened
from audit.tlog.merkle import CompactRange, split_hashes
from audit.tlog.note import NoteError, parse_checkpoint, parse_note
from audit.tlog.report import INCOMPLETE, TAMPERED, Fault, Report
from audit.tlog.tiles import WIDTH, tiles

PART: Final = 500
EVENTS: Final[dict[Log, Any]] = {Log.CONTROL: AuditEvent, Log.CONNECTIONS: FlowEvent}


def check_tables(log: Log, report: Report) -> None:
    """Add every contradiction between the tables of one log to the report."""
    size = _check_state(log, report)
    _check_places(log, size, report, pruned=pruned_below(log))
    _check_unsealed(log, report)
    _check_tiles(log, size, report)
    _check_checkpoints(log, report)


def _check_state(log: Log, report: Report) -> int:
    """Compare the newest signature with the newest checkpoint; return its size."""
    state = SealerState.objects.filter(log=log).first()
    last = SealedCheckpoint.objects.filter(log=log).order_by("-size").first()
    if state is None or last is None:
        if (state is None) != (last is None):
            report.add(INCOMPLETE, log.value, None, "signed, and no checkpoint of it")
        return 0
    try:
        told = parse_checkpoint(parse_note(state.note.encode()).text)
    except NoteError as exc:
        report.add(TAMPERED, log.value, last.size, f"the newest signature: {exc}")
        return last.size
    if (told.size, told.size, told.root) != (state.size, last.size, bytes(last.root)):
        report.add(
            TAMPERED,
            log.value,
            min(told.size, state.size, last.size),
            f"signed at {told.size}, noted {state.size}, last checkpoint {last.size}",
        )
    if state.signed_at < last.at:
        report.add(TAMPERED, log.value, last.size, "signed before its checkpoint")
    return last.size


def pruned_below(log: Log) -> int:
    """Return below which index a sealed leaf says that rows may be missing.

    Whether its frontier is the tree's `fsck` finds.
    """
    leaves = AuditEvent.objects.filter(
        code=EventCode.AUDIT_PRUNE, details__log=log.value
    )
    sealed = SealedLeaf.objects.filter(log=Log.CONTROL).values("event_id")
    told = leaves.filter(pk__in=sealed).values_list("details__to", flat=True)
    return max(map(int, told), default=0)


def _check_places(log: Log, size: int, report: Report, *, pruned: int) -> None:
    """Find indexes below the size without an event, and places above it."""
    model, expected = EVENTS[log], 0
    places = SealedLeaf.objects.filter(log=log).order_by("index")
    for part in parts(places.values_list("index", "event_id").iterator(), PART):
        held = set(
            model.objects.filter(pk__in=[number for _, number in part]).values_list(
                "pk", flat=True
            )
        )
        for index, number in part:
            _check_gap(log, max(expected, pruned), min(index, size), report)
            if index < expected or index >= size:
                report.add(TAMPERED, log.value, index, "a place outside of the tree")
            if number not in held and index >= pruned:
                report.add(TAMPERED, log.value, index, f"its event {number} is gone")
            expected = max(expected, index + 1)
    _check_gap(log, max(expected, pruned), size, report)


def _check_gap(log: Log, begin: int, end: int, report: Report) -> None:
    """Tell places without an event as one fault: there may be any number of them."""
    if begin < end:
        message = f"no event has the places from {begin} to below {end}"
        report.faults.append(Fault(TAMPERED, log.value, begin, message, end))


def _check_unsealed(log: Log, report: Report) -> None:
    """Find what is in no tree, and does not wait for one as it was written."""
    model = EVENTS[log]
    place = SealedLeaf.objects.filter(log=log, event_id=OuterRef("pk"))
    waiting = Outbox.objects.filter(log=log, event_id=OuterRef("pk"))
    unsealed = model.objects.filter(~Exists(place)).order_by("pk")
    for part in parts(unsealed.annotate(waits=Exists(waiting)).iterator(PART), PART):
        for event, line in zip(part, opened(part), strict=True):
            if not event.waits:
                message = f"event {event.pk} is in no tree and does not wait for one"
                report.add(TAMPERED, log.value, None, message)
            try:
                held = bytes(event.leaf or b"")
                fits = agrees(held, line["row"], salts(line["salts"]))
            except (LeafError, ValueError, TypeError, AttributeError):
                fits = False
            if not fits:
                message = f"event {event.pk}, not sealed yet, is not as it was written"
                report.add(TAMPERED, log.value, None, message)
    here = model.objects.filter(pk=OuterRef("event_id"))
    again = SealedLeaf.objects.filter(log=log, event_id=OuterRef("event_id"))
    for row in Outbox.objects.filter(log=log).annotate(
        exists=Exists(here), sealed=Exists(again)
    ):
        if not row.exists:
            message = f"event {row.event_id} waits and does not exist"
            report.add(TAMPERED, log.value, None, message)
        elif row.sealed:
            message = f"event {row.event_id} waits and is sealed already"
            report.add(TAMPERED, log.value, None, message)


def _check_tiles(log: Log, size: int, report: Report) -> None:
    """Find tiles of no tree; what is in the others `fsck` compares."""
    known = {(level, index) for level, index, width in tiles(size) if width == WIDTH}
    held = SealedTile.objects.filter(log=log).values_list("level", "index")
    for level, index in sorted(set(held) - known):
        message = f"tile {level}/{index} is of no tree of {size}"
        report.add(TAMPERED, log.value, None, message)


def _check_checkpoints(log: Log, report: Report) -> None:
    """Find checkpoints that contradict their note or frontier, or come too early."""
    before: SealedCheckpoint | None = None
    for row in SealedCheckpoint.objects.filter(log=log).order_by("size").iterator():
        try:
            told = parse_checkpoint(parse_note(row.note.encode()).text)
            frontier = CompactRange(
                size=row.size,
                hashes=tuple(split_hashes(bytes(row.hashes))),
            )
            fits = told.size == row.size and told.root == frontier.root()
        except ValueError:
            fits = False
        if not fits or bytes(row.root) != told.root:
            message = f"the checkpoint of {row.size} contradicts itself"
            report.add(TAMPERED, log.value, row.size, message)
        if before is not None and row.at < before.at:
            message = (
                f"the checkpoint of {row.size} is dated before the one it continues"
            )
            report.add(TAMPERED, log.value, before.size, message)
        before = row
