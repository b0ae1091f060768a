"""Load for a sealer, and the comparison of what it made of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Final, Protocol

from django.db import transaction

from audit import services
from audit.actor import SYSTEM
from audit.events import EventCode
from audit.models import AuditEvent, Log, Outbox, SealedCheckpoint, SealedLeaf
from audit.sealing import keeping
from audit.sealing.sealer import Sealer
from audit.tlog.merkle import CompactRange, leaf_hash
from audit.tlog.note import parse_checkpoint, verify_note

ROLLED_BACK: Final = 0.1


class Found(Protocol):
    """Where the findings go."""

    events: int
    sealed: int
    checkpoints: int
    faults: list[str]


def write_event_batches(is_enough: Callable[[], bool], chance: Random) -> None:
    """Append batches of 1 to 200 events; one in ten is rolled back."""
    while not is_enough():
        count = chance.randint(1, 200)
        made = [
            services.event(EventCode.USER_LOGIN, actor=SYSTEM, now=_now())
            for _ in range(count)
        ]
        with transaction.atomic():
            services.record_all(made)
            if chance.random() < ROLLED_BACK:
                transaction.set_rollback(True)


def compare(found: Found) -> None:
    """Seal what is left, then look for anything that must not be."""
    sealer = Sealer(Log.CONTROL)
    while sealer.seal(_now()):
        pass
    events = dict(AuditEvent.objects.values_list("id", "leaf"))
    places = list(
        SealedLeaf.objects.filter(log=Log.CONTROL)
        .order_by("index")
        .values_list("index", "event_id")
    )
    found.events, found.sealed = len(events), len(places)
    if [index for index, _ in places] != list(range(len(places))):
        found.faults.append("the indexes have gaps or repeat")
    if sorted(number for _, number in places) != sorted(events):
        found.faults.append("not every event was sealed exactly once")
    if Outbox.objects.exists():
        found.faults.append("events wait")
    hashes = [leaf_hash(bytes(events[number] or b"")) for _, number in places]
    _compare_checkpoints(hashes, found)


def _compare_checkpoints(hashes: list[bytes], found: Found) -> None:
    key = keeping.verifier_key(Log.CONTROL)
    tree = CompactRange()
    for row in SealedCheckpoint.objects.filter(log=Log.CONTROL).order_by("size"):
        tree = tree.append(hashes[tree.size : row.size])
        told = parse_checkpoint(verify_note(row.note.encode(), [key]).text)
        found.checkpoints += 1
        if (told.size, told.root) != (row.size, tree.root()):
            found.faults.append(f"the checkpoint of {row.size} is of another tree")
    last = keeping.last_signed(Log.CONTROL)
    if last is None or (last.size, last.root) != (tree.size, tree.root()):
        found.faults.append("the sealer's file does not say what was signed last")
    if tree.size != len(hashes):
        found.faults.append("the last tree was not signed")


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- a program of its own
