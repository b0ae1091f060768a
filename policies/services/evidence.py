"""A gateway's records become evidence: read, attributed, stored once, signed for.

What the gateway lost it says; what is missing between two numbers is found here, and
so is a record that cannot be read: it is counted as lost and shown in the log, and
what comes after it is taken. A batch is accepted as a whole or not at all. Numbers are
those of one spool; another spool begins another numbering, and is an alert (ADR-0020).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from django.db import transaction

from audit.events import EventCode, Outcome
from audit.services import record, record_flows
from policies.attribution import load_attribution
from policies.errors import EvidenceError
from policies.evidence import MAX_COUNT, parse_records, parse_spool
from policies.evidence_records import (
    DriftRecord,
    FlowRecord,
    FlowTableRecord,
    GapRecord,
    HandshakeRecord,
    Record,
    RefusedRecord,
    StartRecord,
    TotalsRecord,
)
from policies.models import AgentState, EvidenceSpool
from policies.services.refusals import refuse_gateway_request
from policies.services.sightings import record_sightings
from policies.services.totals import unaccounted

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor
    from peers.models import Gateway

EXAMPLES: Final = 10


def ingest_evidence(
    *,
    gateway: Gateway,
    records: object,
    actor: Actor,
    now: datetime,
    spool: object = "",
) -> int:
    """Store what is new in a batch; return the number everything is accepted through.

    Both are numbers of the spool that the batch comes from. What is stored is numbered
    on over all spools of the gateway.

    Raises:
        EvidenceError: the batch is malformed, or its numbers, with those of all the
            gateway's spools, lead too far to be counted; nothing of it was stored.
    """
    try:
        parsed, name = parse_records(records), parse_spool(spool)
        with transaction.atomic():
            return _accepted(gateway, parsed, name, actor, now)
    except EvidenceError as exc:
        refuse_gateway_request(
            gateway=gateway, channel="evidence", reason=str(exc), actor=actor, now=now
        )
        raise


def _accepted(
    gateway: Gateway, parsed: Sequence[Record], name: str, actor: Actor, now: datetime
) -> int:
    """Store what is new; return the number everything is accepted through."""
    AgentState.objects.get_or_create(gateway=gateway)
    state = AgentState.objects.select_for_update(no_key=True).get(pk=gateway.pk)
    source = _source(state, name, parsed, actor, now)
    new = [item for item in parsed if item.sequence > source.accepted_through]
    if not new:
        return source.accepted_through
    offset = state.accepted_through - source.accepted_through
    if new[-1].sequence > MAX_COUNT - offset:
        msg = f"record {new[-1].sequence} is beyond what can be numbered"
        raise EvidenceError(msg)
    missing = _missing(source.accepted_through, new, now)
    if missing is not None:
        _record_gap(gateway, missing, actor, now)
    refused = [item for item in new if isinstance(item, RefusedRecord)]
    _record_refused(gateway, refused, actor, now)
    for item in new:
        _record_notice(gateway, item, actor, now)
    flows = [item for item in new if isinstance(item, FlowRecord)]
    _record_flows(gateway, flows, offset, actor, now)
    handshakes = [item for item in new if isinstance(item, HandshakeRecord)]
    record_sightings(gateway=gateway, records=handshakes, actor=actor, now=now)
    for gap in unaccounted(state, new, missing, now=now):
        _record_gap(gateway, gap, actor, now)
    source.accepted_through = new[-1].sequence
    source.save(update_fields=["accepted_through"])
    state.accepted_through = source.accepted_through + offset
    state.save(update_fields=["accepted_through", "spool"])
    return source.accepted_through


def _source(
    state: AgentState, name: str, parsed: Sequence[Record], actor: Actor, now: datetime
) -> EvidenceSpool:
    """Return the spool of a batch; another than before is an alert.

    The spool before it was lost, or is a copy's: what it held may be lost, and how much
    nobody knows. An agent that begins to name its spool goes on with the numbers.
    """
    first = parsed[0].sequence if parsed else 1
    goes_on = not state.accepted_through or (
        not state.spool and (not name or first > 1)
    )
    rows = EvidenceSpool.objects.filter(gateway=state.pk, name=name)
    # The caller holds the lock on `state`: nobody else makes one.
    source = rows.first() or EvidenceSpool.objects.create(
        gateway_id=state.pk,
        name=name,
        accepted_through=state.accepted_through if goes_on else first - 1,
        begun_at=now,
    )
    if state.spool != name and not goes_on:
        record(
            EventCode.EVIDENCE_SPOOL,
            actor=actor,
            now=now,
            outcome=Outcome.ALERT,
            gateway=state.gateway.ref,
            reason="evidence comes from another spool; the one before may be lost",
            details={
                "spool": name,
                "before": state.spool,
                "first": first,
                "accepted_through": source.accepted_through,
            },
        )
        AgentState.objects.filter(pk=state.pk).update(spool=name)
    state.spool = name
    return source


def _record_flows(
    gateway: Gateway,
    records: Sequence[FlowRecord],
    offset: int,
    actor: Actor,
    now: datetime,
) -> None:
    if not records:
        return
    attribution = load_attribution(records)
    attributed = [
        (replace(flow, sequence=flow.sequence + offset), doubt)
        for flow, doubt in map(attribution.flow, records)
    ]
    record_flows(gateway=gateway.ref, flows=[flow for flow, _ in attributed], now=now)
    doubts = Counter(doubt for _, doubt in attributed if doubt)
    if not doubts:
        return
    # One alert a batch: a flood of forged packets must not become a flood of alerts.
    record(
        EventCode.FLOW_UNATTRIBUTED,
        actor=actor,
        now=now,
        outcome=Outcome.ALERT,
        gateway=gateway.ref,
        reason=next(iter(doubts)),
        details={
            "flows": doubts.total(),
            "examples": [doubt for doubt, _ in doubts.most_common(EXAMPLES)],
            "sequences": [flow.sequence for flow, doubt in attributed if doubt][
                :EXAMPLES
            ],
        },
    )


def _missing(accepted: int, new: Sequence[Record], now: datetime) -> GapRecord | None:
    """Return the numbers that were skipped, as a gap that nobody reported."""
    lost = new[-1].sequence - accepted - len(new)
    if not lost:
        return None
    return GapRecord(sequence=new[0].sequence, at=now, source="sequence", lost=lost)


def _record_notice(gateway: Gateway, item: Record, actor: Actor, now: datetime) -> None:
    match item:
        case GapRecord():
            _record_gap(gateway, item, actor, now)
        case StartRecord():
            record(
                EventCode.GATEWAY_RESTART,
                actor=actor,
                now=now,
                gateway=gateway.ref,
                details={"at": item.at.isoformat(), "boot_id": item.boot_id},
            )
        case DriftRecord():
            record(
                EventCode.GATEWAY_DRIFT,
                actor=actor,
                now=now,
                outcome=Outcome.ALERT,
                gateway=gateway.ref,
                reason=item.what,
                details={
                    "at": item.at.isoformat(),
                    "by": item.by,
                    "repaired_ms": item.repaired_ms,
                },
            )
        case FlowTableRecord():
            record(
                EventCode.GATEWAY_FLOW_TABLE,
                actor=actor,
                now=now,
                outcome=Outcome.ALERT if item.is_crowded else Outcome.DONE,
                gateway=gateway.ref,
                details={
                    "at": item.at.isoformat(),
                    "entries": item.entries,
                    "most": item.most,
                },
            )
        case FlowRecord() | RefusedRecord() | TotalsRecord() | HandshakeRecord():
            pass


def _record_refused(
    gateway: Gateway, records: Sequence[RefusedRecord], actor: Actor, now: datetime
) -> None:
    """Tell once a batch what of it is lost as evidence because it cannot be read."""
    if not records:
        return
    record(
        EventCode.AGENT_LOG_GAP,
        actor=actor,
        now=now,
        outcome=Outcome.ALERT,
        gateway=gateway.ref,
        reason=f"record {records[0].sequence} cannot be read: {records[0].why}",
        details={
            "source": "refused",
            "lost": len(records),
            "examples": [
                {"seq": item.sequence, "why": item.why, "record": item.excerpt}
                for item in records[:EXAMPLES]
            ],
        },
    )


def _record_gap(gateway: Gateway, gap: GapRecord, actor: Actor, now: datetime) -> None:
    record(
        EventCode.AGENT_LOG_GAP,
        actor=actor,
        now=now,
        outcome=Outcome.ALERT,
        gateway=gateway.ref,
        details={"source": gap.source, "lost": gap.lost, "at": gap.at.isoformat()},
    )
