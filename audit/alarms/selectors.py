"""Reading alarms and channels, through one gate: readers see all, others nothing.

Whoever may not know of an alarm gets 404; whoever may know and not change it, 403.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404

from audit.alarms.models import (
    Alarm,
    AlarmChannel,
    AlarmState,
    AlarmVerdict,
    Watch,
)
from audit.alarms.rules import RULES, UNFED, Rule, Severity
from audit.models import AuditEvent, Connection

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from audit.actor import Ref
    from audit.alarms.models import AlarmEvidence


class Viewer(Protocol):
    """A person who looks; the accounts of the layer above are such."""

    @property
    def is_reader(self) -> bool:
        """Whether they may read everything."""
        ...

    @property
    def is_administrator(self) -> bool:
        """Whether they may change things."""
        ...

    @property
    def ref(self) -> Ref:
        """Their machine id and label."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmFilter:
    """Which alarms; what is empty is not asked. `state` empty is: not closed."""

    state: str = ""
    severity: int = 0
    rule: str = ""
    assignee: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A piece of evidence and where it can be seen; None where it is gone."""

    piece: AlarmEvidence
    event: AuditEvent | None = None
    connection: Connection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRecord:
    """A rule, how often it was raised, and what its alarms turned out to be."""

    rule: Rule
    is_on: bool
    is_fed: bool
    raised: int
    unjudged: int
    true: int
    benign: int
    false: int

    @property
    def precision(self) -> int | None:
        """Return how many of a hundred judged alarms were true; None without any."""
        judged = self.true + self.benign + self.false
        return round(100 * self.true / judged) if judged else None


def list_alarms_for(viewer: Viewer, wanted: AlarmFilter) -> QuerySet[Alarm]:
    """Return the alarms that a filter finds, the worst and latest first."""
    if not viewer.is_reader:
        raise PermissionDenied
    rows = Alarm.objects.order_by("-severity", "-last_seen_at", "-id")
    if not wanted.state:
        rows = rows.exclude(state=AlarmState.CLOSED)
    elif wanted.state != "all":
        rows = rows.filter(state=wanted.state)
    if wanted.severity:
        rows = rows.filter(severity__gte=wanted.severity)
    if wanted.rule:
        rows = rows.filter(rule=wanted.rule)
    if wanted.assignee:
        rows = rows.filter(assignee_id=wanted.assignee)
    return rows


def get_alarm_for(viewer: Viewer, alarm_id: int) -> Alarm:
    """Return an alarm to a reader."""
    if not viewer.is_reader:
        raise Http404
    found = Alarm.objects.filter(pk=alarm_id).first()
    if found is None:
        raise Http404
    return found


def get_alarm_to_change_for(viewer: Viewer, alarm_id: int) -> Alarm:
    """Return an alarm to an administrator."""
    found = get_alarm_for(viewer, alarm_id)
    if not viewer.is_administrator:
        raise PermissionDenied
    return found


def list_channels_for(viewer: Viewer) -> QuerySet[AlarmChannel]:
    """Return the channels to a reader."""
    if not viewer.is_reader:
        raise PermissionDenied
    waiting = Count("deliveries", filter=Q(deliveries__state="waiting"))
    return AlarmChannel.objects.annotate(waiting=waiting).order_by("name")


def get_channel_for(viewer: Viewer, channel_id: int) -> AlarmChannel:
    """Return a channel to a reader."""
    if not viewer.is_reader:
        raise Http404
    found = AlarmChannel.objects.filter(pk=channel_id).first()
    if found is None:
        raise Http404
    return found


def get_channel_to_change_for(viewer: Viewer, channel_id: int) -> AlarmChannel:
    """Return a channel to an administrator."""
    found = get_channel_for(viewer, channel_id)
    if not viewer.is_administrator:
        raise PermissionDenied
    return found


def open_count() -> int:
    """Return how many alarms nobody has seen yet."""
    return Alarm.objects.filter(state=AlarmState.OPEN).count()


def shown_evidence(alarm: Alarm) -> list[Shown]:
    """Return what an alarm rests on, with the rows where they are still there."""
    pieces = [*alarm.evidence.all()]
    events = {
        str(row.uid): row
        for row in AuditEvent.objects.filter(uid__in=_references(pieces, "event"))
    }
    flows = [text.split("/", 1)[1] for text in _references(pieces, "connection")]
    connections = {
        f"{row.gateway_id}/{row.flow}": row
        for row in Connection.objects.filter(flow__in=flows)
    }
    return [
        Shown(
            piece=piece,
            event=events.get(piece.reference),
            connection=connections.get(piece.reference),
        )
        for piece in pieces
    ]


def watched_since() -> tuple[datetime | None, datetime | None]:
    """Return since when is watched, and when that was last done."""
    runs = list(Watch.objects.values_list("since", "ran_at"))
    if not runs:
        return None, None
    return min(since for since, _ in runs), min(ran_at for _, ran_at in runs)


def rule_records(off: frozenset[str]) -> list[RuleRecord]:
    """Return every rule with what became of its alarms."""

    def judged(verdict: str) -> Count:
        return Count("pk", filter=Q(verdict=verdict))

    rows = (
        Alarm.objects.order_by()
        .values("rule")
        .annotate(
            raised=Count("pk"),
            unjudged=judged(""),
            true=judged(AlarmVerdict.TRUE),
            benign=judged(AlarmVerdict.BENIGN),
            false=judged(AlarmVerdict.FALSE),
        )
    )
    counts: dict[str, dict[str, Any]] = {row["rule"]: {**row} for row in rows}
    none = dict.fromkeys(("raised", "unjudged", "true", "benign", "false"), 0)
    found: list[RuleRecord] = []
    for rule in RULES.values():
        row = {**none, **counts.get(rule.id.value, {})}
        found.append(
            RuleRecord(
                rule=rule,
                is_on=rule.id.value not in off,
                is_fed=rule.id not in UNFED,
                **{name: row[name] for name in none},
            )
        )
    return found


def severity_choices() -> list[tuple[int, str]]:
    """Return severities from the mildest, for forms."""
    return [(int(severity), severity.word) for severity in Severity]


def _references(pieces: Sequence[AlarmEvidence], kind: str) -> list[str]:
    return [piece.reference for piece in pieces if piece.kind == kind]
