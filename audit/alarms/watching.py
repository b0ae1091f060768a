"""Reading the log for alarms: by cursor, a bounded part at a time, by one worker.

1. The row of a watch is locked; where another worker has it, there is nothing to do.
2. What is new, and what was missing before, is read (`audit.alarms.cursor`).
3. It is judged, the alarms are raised and the cursor goes on, all in one transaction:
   whatever fails, the same rows are judged again and nothing was counted.

A watch that is new begins with the present. What was used before is learnt from the
connections there are, so that nothing old raises an alarm.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection as database
from django.db import transaction
from django.db.models import Max, Model, Q

from audit import room
from audit.actor import Ref
from audit.alarms import judging
from audit.alarms.cursor import stored_position
from audit.alarms.findings import Finding, SeenEvent, SeenFlow, Subjects
from audit.alarms.learning import (
    acquaint,
    known_acquaintances,
    known_activity,
    learn_from_connections,
    note_activity,
)
from audit.alarms.models import Watch
from audit.alarms.parameters import DENIED_SECONDS, REFUSED_SECONDS
from audit.alarms.services import raise_findings, tuning
from audit.events import Outcome
from audit.models import (
    AuditEvent,
    Connection,
    FlowEvent,
    FlowKind,
    Log,
    Outbox,
    SealerState,
    Verdict,
)
from audit.refusals import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

BATCH: Final = 1000
BATCHES: Final = 20
"""In one run; the next one goes on."""
AROUND: Final = 20_000
"""Rows of the time around a burst that are looked at."""


def watch_events(*, now: datetime) -> int:
    """Judge what is new in the control log; return how many events that were."""
    return watch("events", AuditEvent, judge_events, now=now)


def watch_flows(*, now: datetime) -> int:
    """Judge what is new in the connections log; return how many records that were."""
    return watch(
        "flows",
        FlowEvent,
        judge_flows,
        now=now,
        begin=learn_from_connections,
        unread=("body",),
    )


def watch_checkpoints(*, now: datetime) -> None:
    """Tell of a log that was not signed for too long, or never while events wait."""
    signed = dict(SealerState.objects.values_list("log", "signed_at"))
    models: tuple[tuple[Log, type[AuditEvent | FlowEvent]], ...] = (
        (Log.CONTROL, AuditEvent),
        (Log.CONNECTIONS, FlowEvent),
    )
    found, findings = tuning(), []
    for log, model in models:
        since = signed.get(log)
        if since is None:
            waiting = Outbox.objects.filter(log=log).order_by("id")
            first = model.objects.filter(id__in=waiting.values("event_id")[:1]).first()
            since = now if first is None else first.at
        finding = judging.overdue_checkpoint(
            log=log.value, sealed_at=since, tuning=found, now=now
        )
        if finding is not None:
            findings.append(finding)
    raise_findings(findings, now=now)


class RoomWatch:
    """Looks at the log's disk, and remembers since when it has little room."""

    def __init__(self) -> None:
        """Have seen nothing wrong."""
        self._since: datetime | None = None

    def look(self, *, now: datetime) -> None:
        """Raise the alarm, or make the ballast whole where there is room again.

        Raises:
            OSError: the directory is gone, or the disk did not take the ballast.
        """
        found = room.look()
        if found is None or not found.is_low:
            self._since = None
            room.fill()
            return
        if self._since is None:
            # A disk can be full before anybody saw it; the alarm needs a place, too.
            room.make()
            self._since = now
        finding = judging.low_room(
            reserve=found.reserve // room.MEBI, since=self._since, tuning=tuning()
        )
        raise_findings([] if finding is None else [finding], now=now)


def watch(
    name: str,
    model: type[Model],
    judge: Callable[[Sequence[Any], datetime], Iterable[Finding]],
    *,
    now: datetime,
    begin: Callable[[], None] | None = None,
    unread: Sequence[str] = (),
) -> int:
    """Judge the rows of a table that are new, in at most `BATCHES` parts.

    Returns how many rows were judged; `begin` runs before the first of all runs.
    `unread` are columns that `judge` does not look at.
    """
    judged = 0
    for _ in range(BATCHES):
        count = _part(name, model, judge, now=now, begin=begin, unread=unread)
        judged += count
        if count < BATCH:
            break
    return judged


def judge_events(rows: Sequence[AuditEvent], now: datetime) -> Iterable[Finding]:
    """Return what events raise."""
    del now
    found, chosen = tuning(), [seen_event(row) for row in rows]
    yield from judging.event_findings(chosen, found)
    refused = [event for event in chosen if event.outcome == Outcome.REFUSED]
    if refused:
        yield from judging.refused_bursts(
            refused, _refused_around(refused, found.seconds(REFUSED_SECONDS)), found
        )


def judge_flows(rows: Sequence[FlowEvent], now: datetime) -> Iterable[Finding]:
    """Return what flows raise, and learn from them."""
    del now
    found = tuning()
    flows = [seen_flow(row) for row in rows if row.kind != FlowKind.CLOSE]
    yield from judging.denied_bursts(
        flows, _denied_around(flows, found.seconds(DENIED_SECONDS)), found
    )
    allowed = [flow for flow in flows if not flow.is_denied]
    known = known_acquaintances(allowed)
    yield from judging.new_applications(allowed, known, found)
    acquaint(allowed, known)
    yield from judge_sightings(allowed)


def judge_sightings(seen: Sequence[SeenFlow]) -> Iterable[Finding]:
    """Return which devices woke, and remember when they were seen."""
    known = known_activity(seen)
    yield from judging.dormant_wakes(seen, known, tuning())
    note_activity(seen, known)


def seen_event(row: AuditEvent) -> SeenEvent:
    """Return an event as rules look at it."""
    return SeenEvent(
        uid=str(row.uid),
        at=row.at,
        code=row.code,
        outcome=row.outcome,
        sentence=row.sentence,
        actor_id=row.actor_id,
        actor_label=row.actor_label,
        place=place_of(row.actor_address),
        subjects=Subjects(
            person=Ref(id=row.person_id, label=row.person_label),
            device=Ref(id=row.device_id, label=row.device_label),
            gateway=Ref(id=row.gateway_id, label=row.gateway_label),
            application=Ref(id=row.application_id, label=row.application_label),
        ),
        target_id=row.target_id,
        details=row.details,
    )


def seen_flow(row: FlowEvent) -> SeenFlow:
    """Return a gateway's record as rules look at it."""
    found: dict[str, Any] = row.attribution
    source, port = found.get("source", ""), found.get("destination_port")
    to = f"{found.get('destination', '')}{'' if port is None else f' port {port}'}"

    def party(name: str) -> Ref:
        return Ref(id=found.get(f"{name}_id", ""), label=found.get(f"{name}_label", ""))

    return SeenFlow(
        reference=f"{row.gateway_id}/{row.flow}",
        # A moment far ahead would keep a device from ever being dormant.
        at=min(row.at, row.received_at),
        is_denied=row.kind == FlowKind.DENY,
        subjects=Subjects(
            person=party("person"),
            device=party("device"),
            application=party("application"),
            gateway=Ref(id=row.gateway_id, label=found.get("gateway_label", "")),
        ),
        text=f"{source} → {to}",
    )


@transaction.atomic
def _part(
    name: str,
    model: type[Model],
    judge: Callable[[Sequence[Any], datetime], Iterable[Finding]],
    *,
    now: datetime,
    begin: Callable[[], None] | None,
    unread: Sequence[str],
) -> int:
    found = _locked(name, model, now=now, begin=begin)
    if found is None:
        return 0
    position = stored_position(found.position, found.gaps)
    ended, _ = _transactions()
    new = Q(pk__gt=position.last)
    for gap in position.gaps:
        new |= Q(pk__range=(gap.first, gap.last))
    found_rows = model._default_manager.filter(new).defer(*unread).order_by("pk")
    rows = {row.pk: row for row in found_rows[:BATCH]}
    admitted = position.admitted([*rows])
    _, begun = _transactions()
    raise_findings(judge([rows[number] for number in admitted], now), now=now)
    after = position.after(admitted, ended=ended, begun=begun, at=int(now.timestamp()))
    found.position, found.gaps, found.ran_at = after.last, after.as_json(), now
    found.save(update_fields=["position", "gaps", "ran_at"])
    return len(admitted)


def _locked(
    name: str,
    model: type[Model],
    *,
    now: datetime,
    begin: Callable[[], None] | None,
) -> Watch | None:
    """Return a watch for this worker alone; None while another one has it."""
    skips = database.features.has_select_for_update_skip_locked
    locked = Watch.objects.select_for_update(skip_locked=skips)
    found = locked.filter(name=name).first()
    if found is not None or Watch.objects.filter(name=name).exists():
        return found
    last = model._default_manager.aggregate(last=Max("pk"))["last"] or 0
    Watch.objects.bulk_create(
        [Watch(name=name, position=last, since=now, ran_at=now)], ignore_conflicts=True
    )
    found = locked.filter(name=name).first()
    if found is not None and begin is not None:
        begin()
    return found


def _transactions() -> tuple[int, int]:
    """Return below which number all transactions have ended, and the next number.

    SQLite has one writer at a time, so a number that is missing stays missing.
    """
    if database.vendor != "postgresql":
        return 1, 0
    with database.cursor() as cursor:  # pragma: no cover -- SQLite has no such numbers
        cursor.execute(
            "SELECT pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text"
            " FROM pg_current_snapshot() AS s"
        )
        [ended, begun] = cursor.fetchone()
        return int(ended), int(begun)


def _refused_around(
    refused: Sequence[SeenEvent], within: timedelta
) -> Sequence[SeenEvent]:
    moments = [event.at for event in refused]
    rows = AuditEvent.objects.filter(
        outcome=Outcome.REFUSED,
        at__range=(min(moments) - within, max(moments) + within),
    ).order_by("-at")
    return [seen_event(row) for row in rows[:AROUND]]


def _denied_around(
    flows: Sequence[SeenFlow], within: timedelta
) -> dict[str, list[datetime]]:
    denied = [flow for flow in flows if flow.is_denied and flow.subjects.device.id]
    if not denied:
        return {}
    moments = [flow.at for flow in denied]
    rows = Connection.objects.filter(
        device_id__in={flow.subjects.device.id for flow in denied},
        verdict=Verdict.DENIED,
        started_at__range=(min(moments) - within, max(moments) + within),
    ).order_by("-started_at")
    around: dict[str, list[datetime]] = {}
    for device, at in rows.values_list("device_id", "started_at")[:AROUND]:
        around.setdefault(device, []).append(at)
    return around
