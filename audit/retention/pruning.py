"""Prune a log: two people agree, a leaf says so, and then the rows go (ADR 0036).

1. One administrator proposes; what goes, its root and the frontier are written down.
2. Another one approves. The leaf (AU005) is recorded in that transaction.
3. When the leaf is sealed the rows go, in parts, each a transaction. A run that was
   killed goes on where it stopped: whatever is missing below the index is excused by
   the leaf, and nothing else is.

Hashes, checkpoints and the frontier stay, so that every checkpoint that anybody kept
can still be compared. What the log still needs of the leaves that go (who was
forgotten, how the other log was pruned) is said again before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.db.models import Max, Min, Q, QuerySet

from audit.actor import Ref
from audit.errors import PruneError, SealError
from audit.events import EventCode
from audit.models import (
    AuditEvent,
    Cosignature,
    FlowEvent,
    Log,
    Prune,
    SealedLeaf,
    SealerState,
)
from audit.parts import parts
from audit.retention.holds import holds_in_force
from audit.retention.named_rows import begin_of, rows_said
from audit.retention.reasons import told_reason
from audit.sealing import tables
from audit.services import record, reproject
from audit.streams.models import StreamCursor
from audit.tlog.merkle import split_hashes
from audit.tlog.pruned import frontier_of
from audit.tlog.tiles import WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from audit.actor import Actor
    from audit.models import LegalHold

Events: TypeAlias = "QuerySet[AuditEvent] | QuerySet[FlowEvent]"

PART: Final = 5000
FLOWS: Final = 500
AGAIN: Final = "said again: the leaf that said it is pruned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How far a run came."""

    events: int
    connections: int


def oldest_kept(log: Log, *, now: datetime, days: int) -> int:
    """Return the first leaf that is younger than so many days, or the log's size.

    Full bundles go only, so that an index is rounded down to one.
    """
    cutoff = now - timedelta(days=days)
    # As old as the portal has had it: a gateway's own date may be any.
    column = "at" if log is Log.CONTROL else "received_at"
    young = _events(log, _within(column, gt=cutoff)).values("pk")
    places = SealedLeaf.objects.filter(log=log, event_id__in=young)
    first = places.aggregate(first=Min("index"))["first"]
    found = tables.size(log) if first is None else int(first)
    return found // WIDTH * WIDTH


@transaction.atomic
def propose_prune(
    *, log: Log, below: int, proposer: str, reason: str, actor: Actor, now: datetime
) -> Prune:
    """Write down what is to go; `proposer` is the id of an administrator.

    Raises:
        PruneError: it may not go, or another prune of this log waits.
    """
    why = told_reason(reason, PruneError)
    begin = begin_of(log)
    _check(log, begin, below, now=now)
    try:
        frontier = frontier_of(tables.tree_of(log, tables.size(log)), below)
        with transaction.atomic():
            made = Prune.objects.create(
                log=log,
                begin=begin,
                below=below,
                root=frontier.root(),
                hashes=b"".join(frontier.hashes),
                reason=why,
                proposer_id=proposer,
                proposed_at=now,
            )
    except SealError as exc:
        raise PruneError(str(exc)) from exc
    except IntegrityError as exc:
        raise PruneError(f"another prune of the {log.value} log waits") from exc
    _record(EventCode.PRUNE_PROPOSE, made, reason=why, actor=actor, now=now)
    return made


@transaction.atomic
def withdraw_prune(*, prune: Prune, reason: str, actor: Actor, now: datetime) -> Prune:
    """Take back what was not approved yet.

    Raises:
        PruneError: it was approved, or withdrawn before.
    """
    open_ones = Prune.objects.filter(pk=prune.pk, approved_at=None, withdrawn_at=None)
    if not open_ones.update(withdrawn_at=now):
        raise PruneError(f"{prune.ref.id} does not wait for an approval")
    prune.refresh_from_db()
    _record(EventCode.PRUNE_WITHDRAW, prune, reason=reason, actor=actor, now=now)
    return prune


@transaction.atomic
def approve_prune(*, prune: Prune, approver: str, actor: Actor, now: datetime) -> Prune:
    """Agree, as another person; from now on the leaf says that the rows may be gone.

    Raises:
        PruneError: it is one's own, does not wait, or may not go any more.
    """
    held = Prune.objects.select_for_update().get(pk=prune.pk)
    if held.approved_at or held.withdrawn_at:
        raise PruneError(f"{held.ref.id} does not wait for an approval")
    if approver == held.proposer_id:
        raise PruneError("who proposed it does not approve it: another administrator")
    log = Log(held.log)
    _check(log, held.begin, held.below, now=now)
    for event, details in _needed_still(log, held.below):
        record(
            EventCode(event.code),
            actor=actor,
            now=now,
            person=Ref(id=event.person_id),
            target=Ref(id=event.target_id, label=event.target_label),
            reason=AGAIN,
            details=details | {"again": True},
        )
    leaf = _record(
        EventCode.AUDIT_PRUNE,
        held,
        reason=held.reason,
        actor=actor,
        now=now,
        approved_by=approver,
        tree_size=tables.size(log),
        retention_days=settings.PEERAGE_LOG_RETENTION_DAYS,
    )
    held.approver_id, held.approved_at, held.leaf_uid = approver, now, leaf.uid
    held.save(update_fields=("approver_id", "approved_at", "leaf_uid"))
    return held


def carry_out(*, prune: Prune, actor: Actor, now: datetime) -> Iterator[Pruned]:
    """Delete what an approved prune covers; yield after each part how far it came.

    Raises:
        PruneError: its leaf is not signed yet, or a hold forbids it by now.
    """
    prune = Prune.objects.get(pk=prune.pk)
    log = Log(prune.log)
    if prune.approved_at is None or prune.done_at:
        raise PruneError(f"{prune.ref.id} is not approved, or done")
    _check_leaf(prune)
    events = connections = 0
    for begin in range(prune.begin, prune.below, PART):
        with transaction.atomic():
            _check_holds(log, prune.begin, prune.below)
            gone = _delete(log, begin, min(begin + PART, prune.below))
        events, connections = events + gone.events, connections + gone.connections
        yield Pruned(events=events, connections=connections)
    with transaction.atomic():
        if Prune.objects.filter(pk=prune.pk, done_at=None).update(done_at=now):
            _record(
                EventCode.PRUNE_COMPLETE,
                prune,
                reason="",
                actor=actor,
                now=now,
                events=prune.below - prune.begin,
            )


def hashes_of(prune: Prune) -> tuple[bytes, ...]:
    """Return the frontier of a prune."""
    return tuple(split_hashes(bytes(prune.hashes)))


def _check(log: Log, begin: int, below: int, *, now: datetime) -> None:
    """Accept that leaves may go, as things are now.

    Raises:
        PruneError: says what stands against it.
    """
    if below % WIDTH or below <= begin:
        raise PruneError(
            f"prune whole bundles of {WIDTH}, beyond {begin} that went: {below} is none"
        )
    days = settings.PEERAGE_LOG_RETENTION_DAYS
    if below > (most := oldest_kept(log, now=now, days=days)):
        raise PruneError(f"what is younger than {days} days stays: at most {most}")
    if below > (most := _kept_elsewhere(log)):
        raise PruneError(
            f"witnesses have signed, or an export holds, {most} leaves: run manage.py"
            " export_log first, and keep the copy"
        )
    if StreamCursor.objects.filter(
        log=log, stream__enabled=True, position__lte=_newest(log, below)
    ).exists():
        raise PruneError("a stream has not delivered what would go")
    _check_holds(log, begin, below)


def _check_holds(log: Log, begin: int, below: int) -> None:
    for hold in holds_in_force():
        if _is_held(hold, log, begin, below):
            raise PruneError(f"under legal hold: {hold.ref.id} ({hold})")


def _is_held(hold: LegalHold, log: Log, begin: int, below: int) -> bool:
    """Return whether a hold covers any event that would go."""
    places = SealedLeaf.objects.filter(log=log, index__gte=begin, index__lt=below)
    # What a gateway delivered late belongs to the time it is about, too.
    times = ("at",) if log is Log.CONTROL else ("at", "received_at")
    covered = (_within(name, gte=hold.since, lt=hold.until) for name in times)
    events = _events(log, reduce(or_, covered))
    if hold.person_id and log is Log.CONTROL:
        who = hold.person_id
        events = events.filter(Q(person_id=who) | Q(actor_id=who) | Q(target_id=who))
    elif hold.person_id:
        events = events.filter(attribution__person_id=hold.person_id)
    return bool(events.filter(pk__in=places.values("event_id")).exists())


def _kept_elsewhere(log: Log) -> int:
    """Return the size of the largest tree that others have signed or a copy holds."""
    signed = Cosignature.objects.filter(log=log).aggregate(size=Max("size"))["size"]
    copies = AuditEvent.objects.filter(
        code=EventCode.AUDIT_EXPORT_COMPLETE,
        details__log=log.value,
        details__format__startswith="tiles",
    )
    held = copies.values_list("details__rows", flat=True)
    return max([signed or 0, *map(int, held)])


def _needed_still(log: Log, below: int) -> Iterator[tuple[AuditEvent, dict[str, Any]]]:
    """Yield what must stay proved and what it says from now on, each the last word.

    The leaf that said it goes, or rows of somebody who was forgotten.
    """
    last: dict[str, AuditEvent] = {}
    for event in AuditEvent.objects.filter(
        Q(code=EventCode.USER_ERASE)
        | Q(code=EventCode.AUDIT_PRUNE, details__log=Log.CONNECTIONS.value)
    ).order_by("pk"):
        last[f"{event.code} {event.details.get('whose', '')}"] = event
    going = SealedLeaf.objects.filter(log=log, index__lt=below).values("event_id")
    kept = {each: begin_of(each) for each in Log} | {log: below}
    for event in sorted(last.values(), key=lambda event: event.pk):
        details = event.details
        if event.code == EventCode.USER_ERASE:
            details = details | rows_said(details["whose"], below=kept)
        goes = log is Log.CONTROL and going.filter(event_id=event.pk).exists()
        if goes or details != event.details:
            yield event, details


def _check_leaf(prune: Prune) -> None:
    """Accept that the signed leaf says what goes, and that it stands for it.

    Raises:
        PruneError: somebody changed the prune after it was approved, or before.
    """
    leaves = AuditEvent.objects.filter(uid=str(prune.leaf_uid))
    leaf = leaves.first()
    place = SealedLeaf.objects.filter(
        log=Log.CONTROL, event_id__in=leaves.values("pk")
    ).first()
    state = SealerState.objects.filter(log=Log.CONTROL).first()
    if leaf is None or place is None or state is None or place.index >= state.size:
        raise PruneError(
            "its leaf is not signed yet: let the sealer run, and try again"
        )
    said, meant = leaf.details, _details(prune)
    if leaf.code != EventCode.AUDIT_PRUNE or any(
        said.get(name) != value for name, value in meant.items()
    ):
        raise PruneError("its leaf says something else: verify the log")
    log = Log(prune.log)
    tree = tables.tree_of(log, tables.size(log))
    if frontier_of(tree, prune.below).hashes != hashes_of(prune):
        raise PruneError("its frontier is not that of the tree: verify the log")


def _delete(log: Log, begin: int, end: int) -> Pruned:
    """Delete the rows of some leaves, past the models, which refuse."""
    # The order matters: the triggers know an event by its place, and let a place go
    # when its event went. Names of tables are ours.
    where = 'log = %s AND "index" >= %s AND "index" < %s'
    table = tables.EVENTS[log]._meta.db_table
    flows = [] if log is Log.CONTROL else _flows(begin, end)
    with database.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE id IN"  # noqa: S608 -- see above
            f" (SELECT event_id FROM audit_sealedleaf WHERE {where})",
            [log.value, begin, end],
        )
        events = cursor.rowcount
        cursor.execute(
            f"DELETE FROM audit_sealedleaf WHERE {where}",  # noqa: S608 -- see above
            [log.value, begin, end],
        )
    gone = sum(reproject(part) for part in parts(flows, FLOWS))
    return Pruned(events=events, connections=gone)


def _flows(begin: int, end: int) -> list[str]:
    places = SealedLeaf.objects.filter(
        log=Log.CONNECTIONS, index__gte=begin, index__lt=end
    )
    events = FlowEvent.objects.filter(pk__in=places.values("event_id"))
    return sorted(set(events.values_list("flow", flat=True)))


def _newest(log: Log, below: int) -> int:
    places = SealedLeaf.objects.filter(log=log, index__lt=below)
    return int(places.aggregate(last=Max("event_id"))["last"] or 0)


def _events(log: Log, which: Q) -> Any:  # noqa: ANN401 -- of either model
    return tables.EVENTS[log].objects.filter(which).order_by()


def _within(column: str, **bounds: datetime | None) -> Q:
    """Return that a time is within bounds; one that is None is none."""
    return Q(**{f"{column}__{name}": at for name, at in bounds.items() if at})


def _record(
    code: EventCode,
    prune: Prune,
    *,
    reason: str,
    actor: Actor,
    now: datetime,
    **more: str | int,
) -> AuditEvent:
    return record(
        code,
        actor=actor,
        now=now,
        target=prune.ref,
        reason=reason,
        details={**_details(prune), **more},
    )


def _details(prune: Prune) -> dict[str, Any]:
    return {
        "prune": prune.ref.id,
        "log": prune.log,
        "from": prune.begin,
        "to": prune.below,
        "root": bytes(prune.root).hex(),
        "frontier": [value.hex() for value in hashes_of(prune)],
        "proposed_by": prune.proposer_id,
    }
