"""Which rows say the id of somebody who was forgotten, for the leaf that tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import Max, Q

from audit.claims import ROWS, digest_of
from audit.leaning import key_of, leaning
from audit.leaves import event_row, flow_row
from audit.models import AuditEvent, FlowEvent, Log, Prune, SealedLeaf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PART: Final = 500


def concerning(person: str) -> Q:
    """Return which events say the id of somebody: as actor, as person or as target."""
    acting = Q(actor_kind="user", actor_id=person)
    return acting | Q(person_id=person) | Q(target_id=person)


def rows_said(person: str, *, below: Mapping[Log, int]) -> dict[str, str]:
    """Return for each log a digest of the rows that say the id of somebody forgotten.

    Rows with an index under `below` are pruned, or will be, and not among them.
    """
    return {ROWS[log.value]: digest_of(_rows(log, person, below[log])) for log in Log}


def begin_of(log: Log) -> int:
    """Return the index of the first leaf that may not be missing."""
    done = Prune.objects.filter(log=log, approved_at__isnull=False)
    return int(done.aggregate(below=Max("below"))["below"] or 0)


def _rows(log: Log, person: str, below: int) -> Iterator[str]:
    pruned = SealedLeaf.objects.filter(log=log, index__lt=below).values("event_id")
    if log is Log.CONTROL:
        events = AuditEvent.objects.filter(concerning(person))
        for event in events.exclude(pk__in=pruned).order_by().iterator(PART):
            row = event_row(event)
            if leaning(bytes(event.leaf or b""), row, {person}):
                yield key_of(row)
        return
    flows = FlowEvent.objects.filter(attribution__person_id=person)
    for flow in flows.exclude(pk__in=pruned).order_by().iterator(PART):
        row = flow_row(flow)
        if leaning(bytes(flow.leaf or b""), row, {person}):
            yield key_of(row)
