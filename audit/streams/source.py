"""Reading a log in order, from a place on, past nothing.

A place is the primary key of a row. On PostgreSQL keys are given when a row is written
and become visible when its transaction commits, so a row may appear behind one that was
read already; whoever had gone past it would never see it. Hence what is read ends where
no writer can be left: the newest key is noted first, then the transactions that hold
the lock of a writer on the table (`pg_locks`; it is taken before a key is). When all of
those are over, every key up to the noted one is there or never will be. Nobody is
blocked by that, and with no writer at work it costs one query. SQLite admits one writer
at a time, so keys are given in the order of commits.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db import connection
from django.db.models import Max

from audit.models import AuditEvent, FlowEvent, Log
from audit.streams.facts import event_record, flow_record

if TYPE_CHECKING:
    from datetime import datetime

    from audit.formats.records import Record

SETTLING_SECONDS: Final = 5.0
"""How long a batch waits for the transactions that write; then the next turn tries."""
LOOK_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some entries of a log, in their order, and where the next part begins."""

    records: tuple[Record, ...]
    begin: int
    end: int


def read(log: Log, *, position: int, size: int) -> Part:
    """Return at most `size` entries from a place on; none when all was read."""
    last = head(log) - 1
    if last < position or not _is_settled(log):
        return Part(records=(), begin=position, end=position)
    records = tuple(
        flow_record(row, index=row.pk)
        if isinstance(row, FlowEvent)
        else event_record(row, index=row.pk)
        for row in _model(log)
        .objects.filter(pk__gte=position, pk__lte=last)
        .order_by("pk")[:size]
    )
    return Part(
        records=records,
        begin=position,
        end=records[-1].index + 1 if records else last + 1,
    )


def head(log: Log) -> int:
    """Return the place after the newest entry."""
    newest = _model(log).objects.aggregate(newest=Max("pk"))["newest"]
    return (newest or 0) + 1


def moment_at(log: Log, position: int) -> datetime | None:
    """Return when the first entry from a place on happened; None when there is none."""
    rows = _model(log).objects.filter(pk__gte=position).order_by("pk")
    return rows.values_list("at", flat=True).first()


def _model(log: Log) -> type[AuditEvent | FlowEvent]:
    return AuditEvent if log is Log.CONTROL else FlowEvent


def _is_settled(log: Log) -> bool:
    """Wait until nobody writes who wrote when this began; False if it took too long."""
    if connection.vendor != "postgresql":
        return True
    waited_for = _writers(log)
    end = time.monotonic() + SETTLING_SECONDS
    while waited_for & _writers(log):
        if time.monotonic() >= end:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _writers(log: Log) -> set[str]:
    """Return the transactions of others that write, or wrote, to a log's table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT virtualtransaction FROM pg_locks WHERE relation = %s::regclass"
            " AND mode = 'RowExclusiveLock' AND granted AND pid <> pg_backend_pid()",
            [_model(log)._meta.db_table],
        )
        return {str(row[0]) for row in cursor.fetchall()}
