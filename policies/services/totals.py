"""Control totals, the portal's half: beginnings told against beginnings stored.

A gateway tells how many beginnings of flows it has recorded in its life. Between two
such reports as many must have come in, less those whose loss is known already (numbers
that are missing, records that cannot be read, records that the gateway could not
write). What is missing beyond that was taken out on the way by somebody who numbered
the rest anew (ADR-0023).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from audit.models import FlowKind
from policies.evidence import MAX_COUNT
from policies.evidence_records import (
    FlowRecord,
    GapRecord,
    Record,
    RefusedRecord,
    TotalsRecord,
)
from policies.models import AgentState, EvidenceTotals

EXCUSED = frozenset({"spool", "refused", "sequence"})


def unaccounted(
    state: AgentState,
    records: Iterable[Record],
    missing: GapRecord | None,
    *,
    now: datetime,
) -> Iterator[GapRecord]:
    """Yield what is missing of the beginnings that the gateway says it recorded.

    `missing` are numbers that were skipped before or among `records`, which are new.
    The caller holds the lock on `state`.
    """
    totals = EvidenceTotals.objects.filter(gateway=state.pk).first()
    skipped = missing.lost if missing else 0
    stored, excused = 0, skipped
    for item in records:
        match item:
            case FlowRecord(kind=FlowKind.OPEN):
                stored += 1
            case GapRecord(source=source, lost=lost) if source in EXCUSED:
                excused += lost
            case RefusedRecord():
                excused += 1
            case TotalsRecord():
                is_known = totals is not None and totals.since == item.since
                if totals is not None and is_known:
                    told = item.sums["opened"] - totals.opened
                    here = totals.stored + stored + totals.excused + excused
                    if told > here:
                        yield _gap(item, told - here)
                elif totals is not None:
                    # What was counted before is not counted on: nobody can compare.
                    yield _gap(item, 0)
                totals = EvidenceTotals(
                    gateway_id=state.pk, since=item.since, told_at=now, **item.sums
                )
                # Which of several the skipped numbers lie behind is not known here.
                stored, excused = 0, skipped if not is_known else 0
            case _:
                pass
    if totals is not None:
        totals.stored += stored
        totals.excused = min(totals.excused + excused, MAX_COUNT)
        totals.save()


def _gap(item: TotalsRecord, lost: int) -> GapRecord:
    return GapRecord(
        sequence=item.sequence, at=item.at, source="portal_totals", lost=lost
    )
