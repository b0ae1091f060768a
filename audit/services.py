"""The only writer of both logs.

`record`, `record_all` (control) and `record_flows` (connections) write in the caller's
transaction: no change without its event, and when the change rolls back so does the
event. Nothing here updates or deletes an event; only the projection of connections
is rewritten, and `rebuild_connections` makes it anew from the events.
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Final, TypeAlias, TypedDict, Unpack

from django.conf import settings
from django.db import connection as database
from django.db import transaction

from audit import room
from audit.actor import Ref
from audit.catalogue.checking import problems, without_secrets
from audit.catalogue.giving import gives
from audit.errors import LeafError, UndeclaredError
from audit.events import CATALOGUE, EventCode, Outcome, open_details
from audit.flows import LABEL_LENGTH, bind, facts, stored_flow
from audit.leaves import Shape, event_row, event_shape, exact, flow_row, flow_shape
from audit.models import (
    AuditEvent,
    Connection,
    FlowEvent,
    Log,
)
from audit.parts import parts
from audit.projection import folded
from audit.selectors import enrolment_uids
from audit.text import visible, visible_json
from audit.vault import salts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from audit.actor import Actor
    from audit.flows import AttributedFlow
    from audit.search.filters import Filter

Json: TypeAlias = "str | int | bool | Sequence[Json] | Mapping[str, Json] | None"

logger = logging.getLogger(__name__)

NOBODY = Ref(id="")

REBUILD_BATCH: Final = 5000
BATCH: Final = 1000
NONCE_BYTES: Final = 16


class About(TypedDict, total=False):
    """What an event may say beside its code; `event` explains."""

    outcome: Outcome
    person: Ref
    device: Ref
    gateway: Ref
    application: Ref
    target: Ref
    reason: str
    details: Mapping[str, Json] | None


def record(
    code: EventCode, *, actor: Actor, now: datetime, **about: Unpack[About]
) -> AuditEvent:
    """Write one event of the control log and return it; `event` says what it holds.

    Raises:
        NoRoomError: it would give somebody more, and the log's disk has little room.
    """
    made = event(code, actor=actor, now=now, **about)
    _find_room([made])
    _add_leaves([made])
    made.save()
    return made


def record_all(events: Iterable[AuditEvent]) -> None:
    """Write events of the control log, in this order.

    Raises:
        NoRoomError: one gives somebody more, and the log's disk has little room.
    """
    made = list(events)
    _find_room(made)
    _add_leaves(made)
    AuditEvent.objects.bulk_create(made, batch_size=BATCH)


def event(
    code: EventCode,
    *,
    actor: Actor,
    now: datetime,
    outcome: Outcome = Outcome.DONE,
    person: Ref = NOBODY,
    device: Ref = NOBODY,
    gateway: Ref = NOBODY,
    application: Ref = NOBODY,
    target: Ref = NOBODY,
    reason: str = "",
    details: Mapping[str, Json] | None = None,
) -> AuditEvent:
    """Return one event, not written yet.

    `person` is whose access this concerns; it may differ from the actor. Labels
    are copied. `details` holds JSON values without secrets; fractions become text.
    Control characters in any text are stored as visible escapes, so that no name
    can keep an event from being written or forge a line where it is read.

    What the catalogue does not declare is an error where the product is made; where it
    runs, the event is written all the same, because a revocation must not fail for a
    name, and the log of the process says so. Nothing named like a secret is kept.

    Raises:
        UndeclaredError: `details` or `outcome` are not what the catalogue declares, and
            `PEERAGE_STRICT_EVENTS` is set.
    """
    declared = _declared(code, outcome, details or {})
    return AuditEvent(
        at=now,
        code=code.value,
        outcome=outcome.value,
        actor_kind=actor.kind.value,
        actor_id=visible(actor.id)[:64],
        actor_label=_label(actor.label),
        actor_role=actor.role,
        actor_address=visible(actor.address)[:45],
        request_id=visible(actor.request_id)[:64],
        person_id=person.id,
        person_label=_label(person.label),
        device_id=device.id,
        device_label=_label(device.label),
        gateway_id=gateway.id,
        gateway_label=_label(gateway.label),
        application_id=application.id,
        application_label=_label(application.label),
        target_id=visible(target.id)[:64],
        target_label=_label(target.label),
        reason=visible(reason),
        details=exact(visible_json(declared)),
        nonce=secrets.token_bytes(NONCE_BYTES),
    )


def record_query(
    *,
    log: Log,
    filters: Filter,
    actor: Actor,
    now: datetime,
    export_format: str = "",
    columns: Sequence[str] = (),
) -> AuditEvent:
    """Record that somebody reads the log, or takes a copy of it in a format.

    Without `columns` all of them leave.
    Called before the first row leaves, so that a reader who hangs up was recorded.
    """
    details: dict[str, Json] = {"log": log.value, "filter": filters.parameters()}
    if export_format:
        details["format"] = export_format
    if columns:
        details["columns"] = list(columns)
    return record(
        EventCode.AUDIT_EXPORT if export_format else EventCode.AUDIT_QUERY,
        actor=actor,
        now=now,
        details=details,
    )


def record_export_end(
    *, export: AuditEvent, rows: int, sha256: str, now: datetime, actor: Actor
) -> AuditEvent:
    """Record that a copy left in full; where none follows, the reader hung up."""
    return record(
        EventCode.AUDIT_EXPORT_COMPLETE,
        actor=actor,
        now=now,
        details={**export.details, "export": str(export.uid), "rows": rows}
        | {"sha256": sha256},
    )


@transaction.atomic
def record_flows(
    *, gateway: Ref, flows: Iterable[AttributedFlow], now: datetime
) -> int:
    """Append a gateway's attributed records and bring the connections up to date.

    A record that is stored already (same gateway, same sequence) is passed over, so
    a batch may be sent again. Records of one flow may come in any order and in
    different batches: a close without its open makes the connection, and the open
    that follows adds what only it knows. Returns how many records were new.

    Raises:
        NoRoomError: the log's disk has little room; the gateway keeps the batch.
    """
    room.require()
    offered = {flow.sequence: flow for flow in flows}
    known = _known_sequences(gateway, offered)
    new = [flow for number, flow in sorted(offered.items()) if number not in known]
    enrolments = enrolment_uids({flow.device.id for flow in new})
    made = [
        FlowEvent(
            gateway_id=gateway.id,
            sequence=flow.sequence,
            kind=flow.kind,
            at=flow.at,
            received_at=now,
            flow=flow.flow,
            body=exact(visible_json(dict(flow.body))),
            attribution=exact(
                facts(flow, gateway=gateway) | bind(flow.device, enrolments)
            ),
            nonce=secrets.token_bytes(NONCE_BYTES),
        )
        for flow in new
    ]
    _add_leaves(made)
    FlowEvent.objects.bulk_create(made)
    _project((gateway, flow) for flow in new)
    return len(new)


@transaction.atomic
def rebuild_connections() -> int:
    """Make every connection anew from the flow events; return how many there are.

    Gateways' batches wait meanwhile, so that none falls between the two.
    """
    _hold_connections()
    Connection.objects.all().delete()
    events = FlowEvent.objects.order_by("gateway_id", "sequence")
    for events_part in parts(events.iterator(REBUILD_BATCH), REBUILD_BATCH):
        _project(stored_flow(event) for event in events_part)
    return Connection.objects.count()


@transaction.atomic
def reproject(flows: Collection[str]) -> int:
    """Make the connections of some flows anew; return how many fewer there are."""
    _hold_connections()
    gone, _ = Connection.objects.filter(flow__in=flows).delete()
    events = FlowEvent.objects.filter(flow__in=flows)
    _project(stored_flow(event) for event in events.order_by("gateway_id", "sequence"))
    return gone - Connection.objects.filter(flow__in=flows).count()


def _hold_connections() -> None:
    if database.vendor == "postgresql":  # pragma: no cover -- SQLite locks as a whole
        with database.cursor() as cursor:
            cursor.execute("LOCK TABLE audit_connection IN SHARE ROW EXCLUSIVE MODE")


def _declared(
    code: EventCode, outcome: Outcome, details: Mapping[str, Json]
) -> dict[str, Json]:
    """Return the details as they are written, without what looks like a secret."""
    found = problems(CATALOGUE[code], outcome, details)
    if not found:
        return dict(details)
    if settings.PEERAGE_STRICT_EVENTS:
        raise UndeclaredError("; ".join(found))
    logger.error("an event is not as the catalogue declares it: %s", "; ".join(found))
    return dict(without_secrets(details))


def _find_room(events: Sequence[AuditEvent]) -> None:
    """Refuse what gives when the disk has little room; else see that there is some."""
    if any(
        event.outcome == Outcome.DONE.value and gives(event.code, event.details)
        for event in events
    ):
        room.require()
    else:
        room.make()


def _add_leaves(events: Sequence[AuditEvent | FlowEvent]) -> None:
    """Give each event its leaf; the sealer will only hash it (ADR-0028).

    All salts that are needed are read at once. A leaf that would be too long keeps
    its details as a commitment, so that no event is lost because it says much.
    """
    shapes = [_shape(event) for event in events]
    keys = salts(frozenset[str]().union(*(shape.persons for shape in shapes)))
    for event, shape in zip(events, shapes, strict=True):
        try:
            event.leaf = shape.leaf(keys)
        except LeafError:
            if isinstance(event, FlowEvent):
                raise
            event.leaf = event_shape(event_row(event)).leaf(keys)


def _shape(event: AuditEvent | FlowEvent) -> Shape:
    if isinstance(event, FlowEvent):
        return flow_shape(flow_row(event))
    return event_shape(event_row(event), open_details=open_details(event.code))


def _label(text: str) -> str:
    return visible(text)[:LABEL_LENGTH]


def _known_sequences(gateway: Ref, offered: Iterable[int]) -> set[int]:
    # SQLite limits the parameters of one statement.
    size = database.features.max_query_params or REBUILD_BATCH
    known: set[int] = set()
    for part in parts(sorted(offered), size - 1):
        known.update(
            FlowEvent.objects.filter(
                gateway_id=gateway.id, sequence__in=part
            ).values_list("sequence", flat=True)
        )
    return known


def _project(flows: Iterable[tuple[Ref, AttributedFlow]]) -> None:
    """Fold records, in the order of their sequence, into the connections.

    The database merges with what it holds already, so no connection is read: one
    upsert for each combination of parts that the batch tells.
    """
    by_fields: dict[tuple[str, ...], list[Connection]] = {}
    for told in folded(flows).values():
        by_fields.setdefault(told.fields, []).append(told.row)
    for fields, rows in by_fields.items():
        Connection.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=("gateway_id", "flow", "verdict"),
            update_fields=fields,
        )
