"""From rows of the log to what formats take. Only file that knows both worlds."""

from __future__ import annotations

from typing import Final

from audit.events import CATALOGUE, EventCode, Outcome, severity
from audit.formats.records import CONNECTIONS, CONTROL, Record, Severity
from audit.leaves import moment
from audit.models import SEAL_COLUMNS, AuditEvent, FlowEvent, FlowKind

NOT_SAID: Final = SEAL_COLUMNS | {"id", "uid", "at", "code", "outcome"}
EVENT_COLUMNS: Final = tuple(
    field.attname
    for field in AuditEvent._meta.concrete_fields
    if field.attname not in NOT_SAID
)
FLOWS: Final = {
    FlowKind.OPEN: ("FL001", Outcome.DONE, "flow.start", "opened a connection to"),
    FlowKind.CLOSE: ("FL002", Outcome.DONE, "flow.end", "ended a connection to"),
    FlowKind.DENY: ("FL003", Outcome.REFUSED, "flow.denied", "was denied"),
}
FLOW_CODES: Final = tuple(code for code, *_ in FLOWS.values())


def event_record(event: AuditEvent, *, index: int) -> Record:
    """Return an event of the control log as formats take it."""
    return Record(
        log=CONTROL,
        index=index,
        uid=str(event.uid),
        at=event.at,
        received_at=event.at,
        code=event.code,
        outcome=event.outcome,
        name=CATALOGUE[EventCode(event.code)].name,
        severity=severity(EventCode(event.code), Outcome(event.outcome)),
        sentence=event.sentence,
        values={name: getattr(event, name) for name in EVENT_COLUMNS},
    )


def flow_record(event: FlowEvent, *, index: int) -> Record:
    """Return a gateway's record of a flow as formats take it."""
    code, outcome, name, deed = FLOWS[FlowKind(event.kind)]
    who = event.attribution
    person = who.get("person_label") or "Somebody"
    what = who.get("application_label") or _destination(who)
    gateway = who.get("gateway_label") or event.gateway_id
    return Record(
        log=CONNECTIONS,
        index=index,
        # What makes a gateway's record unique, for ever (`FlowEvent`'s constraint).
        uid=f"{event.gateway_id}/{event.sequence}",
        at=event.at,
        received_at=event.received_at,
        code=code,
        outcome=outcome.value,
        name=name,
        severity=Severity.NOTICE if event.kind == FlowKind.DENY else Severity.INFO,
        sentence=f"{person} {deed} {what} at {gateway}",
        values={
            **who,
            "kind": event.kind,
            "flow": event.flow,
            "gateway_id": event.gateway_id,
            "sequence": event.sequence,
            "received_at": moment(event.received_at),
        },
    )


def _destination(who: dict[str, object]) -> str:
    return str(who.get("destination", "an unknown address"))
