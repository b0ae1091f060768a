"""Raising alarms, and what people do with them. Every change writes its event.

Of one rule and key there is one alarm that is not closed: what is found again counts
there. What is found late, of a time before an alarm was closed, belongs to the closed
one and opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Greatest, Least

from audit.actor import SYSTEM, Ref
from audit.alarms import routing
from audit.alarms.errors import AlarmError
from audit.alarms.findings import Finding, folded
from audit.alarms.models import (
    Alarm,
    AlarmChannel,
    AlarmEvidence,
    AlarmState,
    AlarmVerdict,
    Delivery,
    DeliveryCause,
)
from audit.alarms.parameters import QUIET_MINUTES
from audit.alarms.payloads import PARTIES
from audit.alarms.rules import RuleId, Tuning
from audit.events import EventCode, Outcome
from audit.services import record
from audit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audit.actor import Actor

EVIDENCE_KEPT: Final = 100
NOTE_LENGTH: Final = 1000
SENTENCE_LENGTH: Final = 500
LABEL_LENGTH: Final = 255


def tuning() -> Tuning:
    """Return the rules' parameters as this deployment has set them."""
    return Tuning(
        values=settings.PEERAGE_ALARM_PARAMETERS,
        off=frozenset(settings.PEERAGE_ALARM_RULES_OFF),
    )


@transaction.atomic
def raise_findings(findings: Iterable[Finding], *, now: datetime) -> list[Alarm]:
    """Count findings in the alarms there are; return the alarms they opened."""
    opened: list[Alarm] = []
    channels: list[AlarmChannel] | None = None
    for finding in folded(findings):
        if finding.is_standing and _is_told(finding):
            continue
        told = _count(finding, now=now)
        if told is None:
            continue
        _keep_evidence(told.alarm, finding)
        if told.cause is DeliveryCause.RAISED:
            opened.append(told.alarm)
        if told.cause is not None:
            if channels is None:
                channels = [*AlarmChannel.objects.filter(enabled=True)]
            _notify(told.alarm, told.cause, channels, now)
    return opened


@transaction.atomic
def acknowledge_alarm(*, alarm: Alarm, actor: Actor, now: datetime) -> Alarm:
    """Say that somebody has seen an open alarm; it notifies no more unless it rises.

    Raises:
        AlarmError: the alarm is closed.
    """
    taken = Alarm.objects.filter(pk=alarm.pk, state=AlarmState.OPEN).update(
        state=AlarmState.ACKNOWLEDGED, acknowledged_at=now
    )
    alarm.refresh_from_db()
    if alarm.state == AlarmState.CLOSED:
        raise AlarmError("this alarm is closed")
    if taken:
        _record(EventCode.ALARM_ACKNOWLEDGE, alarm, actor=actor, now=now)
    return alarm


@transaction.atomic
def assign_alarm(*, alarm: Alarm, assignee: Ref, actor: Actor, now: datetime) -> Alarm:
    """Make an alarm somebody's; `assignee` without an id makes it nobody's.

    Raises:
        AlarmError: the alarm is closed.
    """
    label = visible(assignee.label)[:LABEL_LENGTH]
    before = alarm.assignee_id
    taken = (
        Alarm.objects.filter(pk=alarm.pk, assignee_id=before)
        .exclude(state=AlarmState.CLOSED)
        .update(assignee_id=assignee.id, assignee_label=label)
    )
    alarm.refresh_from_db()
    if alarm.state == AlarmState.CLOSED:
        raise AlarmError("this alarm is closed")
    if not taken and alarm.assignee_id != assignee.id:
        raise AlarmError("somebody else has assigned this alarm meanwhile")
    if before != assignee.id:
        record(
            EventCode.ALARM_ASSIGN,
            actor=actor,
            now=now,
            person=assignee,
            target=alarm.ref,
            details={"rule": alarm.rule, "before": before, "after": assignee.id},
        )
    return alarm


@transaction.atomic
def close_alarm(
    *, alarm: Alarm, verdict: AlarmVerdict, note: str, actor: Actor, now: datetime
) -> Alarm:
    """Say what an alarm was, which closes it; a closed one gets another verdict.

    Raises:
        AlarmError: the note is missing or too long.
    """
    told = visible(note.strip())
    if not 0 < len(told) <= NOTE_LENGTH:
        raise AlarmError(f"a note has 1 to {NOTE_LENGTH} characters")
    found = Alarm.objects.select_for_update().get(pk=alarm.pk)
    before = found.verdict
    found.state = AlarmState.CLOSED
    found.verdict = verdict
    found.note = told
    found.closed_at = found.closed_at or now
    found.save(update_fields=["state", "verdict", "note", "closed_at"])
    _record(
        EventCode.KEY_SHARED_RESOLVED
        if found.rule == RuleId.SHARED_KEY
        else EventCode.ALARM_CLOSE,
        found,
        actor=actor,
        now=now,
        reason=told,
        details={"verdict": verdict.value, "before": before},
    )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """An alarm that counted a finding, and why it notifies, if it does."""

    alarm: Alarm
    cause: DeliveryCause | None


def _is_told(finding: Finding) -> bool:
    """Return whether a state that goes on has been counted already."""
    return Alarm.objects.filter(
        rule=finding.rule.value, key=finding.key, last_seen_at__gte=finding.last_at
    ).exists()


def _count(finding: Finding, *, now: datetime) -> _Told | None:
    """Count a finding where it belongs; None if that alarm is closed."""
    same = Alarm.objects.filter(rule=finding.rule.value, key=finding.key)
    found = same.select_for_update().exclude(state=AlarmState.CLOSED).first()
    if found is None:
        closed = same.filter(closed_at__gte=finding.last_at).order_by("-id").first()
        if closed is not None:
            _add(closed, finding)
            return None
        try:
            with transaction.atomic():
                return _Told(alarm=_open(finding, now=now), cause=DeliveryCause.RAISED)
        except IntegrityError:
            # Another worker opened it in between.
            found = same.select_for_update().exclude(state=AlarmState.CLOSED).get()
    _add(found, finding)
    return _Told(alarm=found, cause=_cause(found, now))


def _open(finding: Finding, *, now: datetime) -> Alarm:
    values: dict[str, str] = {}
    for party in PARTIES:
        ref: Ref = getattr(finding.subjects, party)
        values[f"{party}_id"] = ref.id
        values[f"{party}_label"] = visible(ref.label)[:LABEL_LENGTH]
    alarm = Alarm.objects.create(
        rule=finding.rule.value,
        key=finding.key,
        severity=finding.severity,
        sentence=visible(finding.sentence)[:SENTENCE_LENGTH],
        first_seen_at=finding.first_at,
        last_seen_at=finding.last_at,
        count=finding.count,
        raised_at=now,
        **values,
    )
    _record(EventCode.ALARM_RAISE, alarm, actor=SYSTEM, now=now, outcome=Outcome.ALERT)
    return alarm


def _add(alarm: Alarm, finding: Finding) -> None:
    is_latest = finding.last_at >= alarm.last_seen_at
    Alarm.objects.filter(pk=alarm.pk).update(
        count=F("count") + finding.count,
        first_seen_at=Least(F("first_seen_at"), finding.first_at),
        last_seen_at=Greatest(F("last_seen_at"), finding.last_at),
        severity=max(alarm.severity, finding.severity),
        sentence=visible(finding.sentence)[:SENTENCE_LENGTH]
        if is_latest
        else alarm.sentence,
    )
    alarm.refresh_from_db()


def _cause(alarm: Alarm, now: datetime) -> DeliveryCause | None:
    if alarm.severity > alarm.notified_severity:
        return DeliveryCause.RISEN
    due = routing.is_due_again(
        notified_at=alarm.notified_at,
        is_acknowledged=alarm.state == AlarmState.ACKNOWLEDGED,
        quiet=timedelta(minutes=tuning().number(QUIET_MINUTES)),
        now=now,
    )
    return DeliveryCause.AGAIN if due else None


def _notify(
    alarm: Alarm, cause: DeliveryCause, channels: Iterable[AlarmChannel], now: datetime
) -> None:
    """Note what is to be sent; the sending is `audit.alarms.delivery`'s."""
    Delivery.objects.bulk_create(
        Delivery(
            channel=channel,
            alarm=alarm,
            cause=cause,
            created_at=now,
            next_attempt_at=now,
        )
        for channel in channels
        if routing.carries(
            rules=channel.rule_set,
            least_severity=channel.least_severity,
            rule=alarm.rule,
            severity=alarm.severity,
        )
    )
    Alarm.objects.filter(pk=alarm.pk).update(
        notified_at=now, notified_severity=alarm.severity
    )


def _keep_evidence(alarm: Alarm, finding: Finding) -> None:
    room = EVIDENCE_KEPT - alarm.evidence.count()
    AlarmEvidence.objects.bulk_create(
        (
            AlarmEvidence(
                alarm=alarm,
                kind=piece.kind,
                reference=piece.reference,
                at=piece.at,
                text=visible(piece.text)[:SENTENCE_LENGTH],
            )
            for piece in finding.evidence[: max(room, 0)]
        ),
        ignore_conflicts=True,
    )


def _record(
    code: EventCode,
    alarm: Alarm,
    *,
    actor: Actor,
    now: datetime,
    outcome: Outcome = Outcome.DONE,
    reason: str = "",
    details: dict[str, str] | None = None,
) -> None:
    parties = {
        party: Ref(
            id=getattr(alarm, f"{party}_id"), label=getattr(alarm, f"{party}_label")
        )
        for party in PARTIES
    }
    record(
        code,
        actor=actor,
        now=now,
        outcome=outcome,
        target=alarm.ref,
        reason=reason,
        details={"rule": alarm.rule, "key": alarm.key, **(details or {})},
        **parties,
    )
