"""Edits of the log's tables by somebody who owns the database.

Each edit is made past Django, with every trigger off, and says how a report must name
it: by the index of a leaf, or by words. Left out is what leaves no trace because it
takes nothing away: swapping two events that both wait in the outbox, or a checkpoint
that a later one continues.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

from audit.actor import SYSTEM
from audit.append_only import AppendOnlyModel
from audit.events import EventCode
from audit.models import (
    AuditEvent,
    Connection,
    FlowEvent,
    Log,
    Outbox,
    SealedCheckpoint,
    SealedLeaf,
    SealedTile,
    SealerState,
)
from audit.services import record
from audit.tlog.report import Report
from audit.tlog.tiles import HEIGHT, WIDTH
from tests.audit.conftest import ALICE, NOON
from tests.audit.past_django import any_row, change, delete, execute, set_value
from tests.audit.small_sealer import seal


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What was done, and what of a report names it."""

    what: str
    log: str
    index: int | None = None
    words: str = ""

    def is_named(self, report: Report) -> bool:
        """Return whether a fault of the report names this edit."""
        return any(
            fault.log == self.log
            and (self.index is None or _covers(fault.index, fault.until, self.index))
            and re.search(self.words, fault.message)
            for fault in report.faults
        )


Maker: TypeAlias = Callable[[random.Random], Edit]
EVENT_TEXTS: Final = (
    "code",
    "outcome",
    "actor_kind",
    "actor_id",
    "actor_label",
    "actor_role",
    "actor_address",
    "request_id",
    "person_id",
    "person_label",
    "device_id",
    "device_label",
    "gateway_id",
    "gateway_label",
    "application_id",
    "application_label",
    "target_id",
    "target_label",
    "reason",
)
FLOW_TEXTS: Final = ("gateway_id", "kind", "flow")
CONNECTION_TEXTS: Final = (
    "person_id",
    "person_label",
    "device_id",
    "key_fingerprint",
    "application_label",
    "grant_id",
    "end_reason",
    "gateway_label",
)


def random_edit(chance: random.Random) -> Edit:
    """Make one edit and return it."""
    return chance.choice(EDITS)(chance)


def edit_event(chance: random.Random) -> Edit:
    row, index = _sealed(AuditEvent, chance)
    column = chance.choice((*EVENT_TEXTS, "details", "leaf", "nonce"))
    change(row, column, chance)
    return Edit(what=f"edit {column}", log="control", index=index)


def edit_flow(chance: random.Random) -> Edit:
    row, index = _sealed(FlowEvent, chance)
    names = (*FLOW_TEXTS, "body", "attribution", "leaf", "nonce", "sequence")
    column = chance.choice(names)
    change(row, column, chance)
    return Edit(what=f"edit {column}", log="connections", index=index)


def edit_waiting(chance: random.Random) -> Edit:
    model = chance.choice((AuditEvent, FlowEvent))
    row = _waiting(model, chance)
    column = chance.choice(("leaf", "nonce", "at"))
    change(row, column, chance)
    return Edit(
        what=f"edit waiting {column}", log=_log(model), words=rf"event {row.pk}\b"
    )


def delete_event(chance: random.Random) -> Edit:
    model = chance.choice((AuditEvent, FlowEvent))
    row, index = _sealed(model, chance)
    delete(row)
    return Edit(what="delete event", log=_log(model), index=index)


def delete_waiting(chance: random.Random) -> Edit:
    model = chance.choice((AuditEvent, FlowEvent))
    row = _waiting(model, chance)
    delete(row)
    return Edit(
        what="delete waiting event", log=_log(model), words=rf"event {row.pk}\b"
    )


def back_date(chance: random.Random) -> Edit:
    model = chance.choice((AuditEvent, FlowEvent))
    row, index = _sealed(model, chance)
    earlier = row.at - timedelta(seconds=chance.randrange(1, 10**7))
    set_value(row, "at", earlier)
    return Edit(what="back-date", log=_log(model), index=index)


def reorder_events(chance: random.Random) -> Edit:
    """Exchange the ids of two sealed events, and so their places in the tree."""
    model = chance.choice((AuditEvent, FlowEvent))
    (one, index), (other, _) = _two(lambda: _sealed(model, chance))
    for number, new in ((one.pk, -1), (other.pk, one.pk), (-1, other.pk)):
        execute(
            "UPDATE {table} SET id = %s WHERE id = %s",
            new,
            number,
            table=model._meta.db_table,
        )
    return Edit(what="reorder events", log=_log(model), index=index)


def insert_event(chance: random.Random) -> Edit:
    """Copy an event with another name and an earlier date."""
    row, _ = _sealed(AuditEvent, chance)
    number = AuditEvent.objects.latest("id").pk + chance.randrange(1, 1000)
    row.pk, row.uid = number, UUID(int=chance.getrandbits(128))
    row.at -= timedelta(hours=1)
    AuditEvent.objects.bulk_create([row])
    return Edit(what="insert event", log="control", words=rf"event {number}\b")


def seal_back_dated(chance: random.Random) -> Edit:
    """Put in an event with its leaf under an earlier date, no trigger on; seal it."""
    early = NOON - timedelta(seconds=chance.randrange(3600, 10**7))
    row = record(EventCode.DEVICE_UPDATE, actor=SYSTEM, now=early, person=ALICE)
    Outbox.objects.create(log=Log.CONTROL, event_id=row.pk)
    seal(Log.CONTROL, NOON + timedelta(minutes=5))
    index = SealedLeaf.objects.get(log=Log.CONTROL, event_id=row.pk).index
    return Edit(what="seal back-dated", log="control", index=index, words="dated")


def truncate_events(chance: random.Random) -> Edit:
    model = chance.choice((AuditEvent, FlowEvent))
    row, index = _sealed(model, chance)
    execute("DELETE FROM {t} WHERE id >= %s", row.pk, t=model._meta.db_table)
    return Edit(what="truncate events", log=_log(model), index=index)


def edit_place(chance: random.Random) -> Edit:
    row = any_row(SealedLeaf, chance)
    other = chance.randrange(10**6, 10**7)
    set_value(row, chance.choice(("event_id", "index")), other)
    return Edit(what="edit place", log=row.log, index=row.index)


def delete_place(chance: random.Random) -> Edit:
    row = any_row(SealedLeaf, chance)
    delete(row)
    return Edit(what="delete place", log=row.log, index=row.index)


def reorder_places(chance: random.Random) -> Edit:
    log = chance.choice(list(Log))
    one, other = _two(lambda: any_row(SealedLeaf, chance, log=log))
    for row, number in ((one, -1), (other, one.event_id), (one, other.event_id)):
        set_value(row, "event_id", number)
    return Edit(what="reorder places", log=one.log, index=one.index)


def insert_place(chance: random.Random) -> Edit:
    log = chance.choice(list(Log))
    row = _waiting(AuditEvent if log is Log.CONTROL else FlowEvent, chance)
    index = SealedLeaf.objects.filter(log=log).count()
    SealedLeaf.objects.create(log=log, index=index, event_id=row.pk)
    return Edit(what="insert place", log=log.value, index=index)


def truncate_places(chance: random.Random) -> Edit:
    row = any_row(SealedLeaf, chance)
    execute(
        "DELETE FROM {t} WHERE log = %s AND {i} >= %s",
        row.log,
        row.index,
        t=SealedLeaf._meta.db_table,
        i="index",
    )
    return Edit(what="truncate places", log=row.log, index=row.index)


def edit_tile(chance: random.Random) -> Edit:
    row = any_row(SealedTile, chance)
    change(row, "data", chance)
    begin = row.index * WIDTH << (HEIGHT * row.level)
    return Edit(what="edit tile", log=row.log, words="tile", index=begin)


def delete_tile(chance: random.Random) -> Edit:
    row = any_row(SealedTile, chance)
    delete(row)
    begin = row.index * WIDTH << (HEIGHT * row.level)
    return Edit(what="delete tile", log=row.log, words="missing", index=begin)


def insert_tile(chance: random.Random) -> Edit:
    log = chance.choice(list(Log))
    index = chance.randrange(100, 1000)
    SealedTile.objects.create(log=log, level=0, index=index, data=bytes(32 * WIDTH))
    return Edit(what="insert tile", log=log.value, words=f"tile 0/{index}")


def edit_checkpoint(chance: random.Random) -> Edit:
    row = any_row(SealedCheckpoint, chance)
    column = chance.choice(("root", "hashes", "note", "size"))
    change(row, column, chance)
    return Edit(what=f"edit checkpoint {column}", log=row.log)


def back_date_checkpoint(chance: random.Random) -> Edit:
    log = chance.choice(list(Log))
    rows = list(SealedCheckpoint.objects.filter(log=log).order_by("size"))[1:]
    row = chance.choice(rows)
    set_value(row, "at", row.at - timedelta(days=chance.randrange(1, 1000)))
    return Edit(what="back-date checkpoint", log=row.log, words="dated before|signed")


def truncate_checkpoints(chance: random.Random) -> Edit:
    log = chance.choice(list(Log))
    row = SealedCheckpoint.objects.filter(log=log).latest("size")
    delete(row)
    return Edit(what="truncate checkpoints", log=row.log)


def insert_checkpoint(chance: random.Random) -> Edit:
    """Copy a checkpoint to another size, with its note as it was."""
    row = any_row(SealedCheckpoint, chance)
    size = row.size + chance.randrange(1, 9)
    row.pk, row.size = None, size
    SealedCheckpoint.objects.bulk_create([row])
    return Edit(what="insert checkpoint", log=row.log)


def edit_state(chance: random.Random) -> Edit:
    row = any_row(SealerState, chance)
    change(row, chance.choice(("note", "size")), chance)
    return Edit(what="edit newest signature", log=row.log)


def edit_connection(chance: random.Random) -> Edit:
    row = any_row(Connection, chance)
    names = (*CONNECTION_TEXTS, "started_at", "source_port", "flow")
    column = chance.choice(names)
    change(row, column, chance)
    return _connection(f"edit connection {column}", row)


def delete_connection(chance: random.Random) -> Edit:
    row = any_row(Connection, chance)
    delete(row)
    return _connection("delete connection", row)


def insert_connection(chance: random.Random) -> Edit:
    row = any_row(Connection, chance)
    row.pk, row.flow = None, f"invented{chance.randrange(10**6)}"
    row.save(force_insert=True)
    return _connection("insert connection", row)


def reorder_connections(chance: random.Random) -> Edit:
    one, other = _two(lambda: any_row(Connection, chance, verdict="allowed"))
    for row, flow in ((one, "between"), (other, one.flow), (one, other.flow)):
        set_value(row, "flow", flow)
    return _connection("reorder connections", one)


def delete_outbox(chance: random.Random) -> Edit:
    row = any_row(Outbox, chance)
    delete(row)
    return Edit(what="delete outbox", log=row.log, words=rf"event {row.event_id}\b")


def edit_outbox(chance: random.Random) -> Edit:
    row = any_row(Outbox, chance)
    set_value(row, "event_id", chance.randrange(10**6, 10**7))
    return Edit(what="edit outbox", log=row.log, words=rf"event {row.event_id}\b")


def insert_outbox(chance: random.Random) -> Edit:
    """Have a sealed event sealed again."""
    row = any_row(SealedLeaf, chance)
    Outbox.objects.create(log=row.log, event_id=row.event_id)
    return Edit(
        what="insert outbox", log=row.log, words=rf"event {row.event_id}\b.*already"
    )


def truncate_outbox(chance: random.Random) -> Edit:
    row = any_row(Outbox, chance)
    execute("DELETE FROM {t} WHERE id >= %s", row.pk, t=Outbox._meta.db_table)
    return Edit(what="truncate outbox", log=row.log, words=rf"event {row.event_id}\b")


EDITS: Final[tuple[Maker, ...]] = (
    *(edit_event, edit_event, edit_flow, edit_flow),
    *(edit_waiting, delete_event, delete_waiting, back_date, reorder_events),
    *(insert_event, seal_back_dated, truncate_events),
    *(edit_place, delete_place, reorder_places, insert_place, truncate_places),
    *(edit_tile, delete_tile, insert_tile),
    *(edit_checkpoint, back_date_checkpoint, truncate_checkpoints, insert_checkpoint),
    edit_state,
    *(edit_connection, delete_connection, insert_connection, reorder_connections),
    *(delete_outbox, edit_outbox, insert_outbox, truncate_outbox),
)


def touch(chance: random.Random) -> None:
    """Write a value over itself, in every table."""
    for model, column in (
        (AuditEvent, "reason"),
        (FlowEvent, "flow"),
        (SealedLeaf, "event_id"),
        (SealedTile, "data"),
        (SealedCheckpoint, "note"),
        (SealerState, "note"),
        (Connection, "flow"),
        (Outbox, "event_id"),
    ):
        row = any_row(model, chance)
        set_value(row, column, getattr(row, column))


def _covers(index: int | None, until: int | None, wanted: int) -> bool:
    if index is None:
        return False
    return index == wanted or (until is not None and index <= wanted < until)


def _connection(what: str, row: Connection) -> Edit:
    return Edit(what=what, log="connections", words=rf"\b{row.flow}\b")


def _log(model: type[AppendOnlyModel]) -> str:
    return "control" if model is AuditEvent else "connections"


def _sealed(model: type[Any], chance: random.Random) -> tuple[Any, int]:
    place = any_row(SealedLeaf, chance, log=_log(model))
    return model.objects.get(pk=place.event_id), place.index


def _waiting(model: type[Any], chance: random.Random) -> Any:  # noqa: ANN401 -- an event
    return model.objects.get(pk=any_row(Outbox, chance, log=_log(model)).event_id)


def _two(pick: Callable[[], Any]) -> tuple[Any, Any]:
    one = pick()
    while (other := pick()) == one:
        pass
    return one, other
