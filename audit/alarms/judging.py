"""What is an alarm: functions of facts and time, without a database. Pure.

Each takes what was read and what is known, and returns findings. Many findings of one
rule about one thing become one alarm with a count (`audit.alarms.services`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from audit.actor import Ref
from audit.alarms.findings import (
    EXAMPLES,
    NOBODY,
    Evidence,
    Finding,
    SeenEvent,
    SeenFlow,
    Subjects,
)
from audit.alarms.parameters import (
    CHECKPOINT_SECONDS,
    DENIED_COUNT,
    DENIED_SECONDS,
    DORMANT_DAYS,
    LEARNING_DAYS,
    REFUSED_COUNT,
    REFUSED_SECONDS,
    REVOCATION_SECONDS,
    Parameter,
)
from audit.alarms.rules import (
    BY_CODE,
    GREAT_BURST,
    RULES,
    RuleId,
    Severity,
    Tuning,
)
from audit.events import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """As many moments as a rule asks for, within its time."""

    first: datetime
    last: datetime
    number: int


def event_findings(events: Iterable[SeenEvent], tuning: Tuning) -> list[Finding]:
    """Return what single events raise."""
    found: list[Finding] = []
    for event in events:
        rule = BY_CODE.get(event.code)
        if rule is None or not tuning.is_on(rule.id):
            continue
        if event.outcome not in rule.outcomes or event.details.get("again"):
            continue
        found.append(
            Finding(
                rule=rule.id,
                key=_event_key(event),
                sentence=_event_sentence(rule.sentence, event),
                severity=rule.severity,
                first_at=event.at,
                last_at=event.at,
                subjects=event.subjects,
                evidence=(event.evidence,),
            )
        )
    return found


def refused_bursts(
    new: Iterable[SeenEvent], around: Iterable[SeenEvent], tuning: Tuning
) -> list[Finding]:
    """Return the bursts that refused events belong to.

    `around` are the refused events of the time around the new ones, which are among
    them. People are counted by person, strangers by their place on the network.
    """
    if not tuning.is_on(RuleId.REFUSED_BURST):
        return []
    fresh = _grouped(new, _refused_key)
    known = _grouped(around, _refused_key)
    found: list[Finding] = []
    for key, events in fresh.items():
        finding = _burst_finding(
            RuleId.REFUSED_BURST,
            key=key,
            new=[event.at for event in events],
            moments=[event.at for event in known.get(key, events)],
            needed=(REFUSED_COUNT, REFUSED_SECONDS),
            tuning=tuning,
            words={"who": events[-1].actor_label or events[-1].place or "Somebody"},
        )
        if finding is not None:
            person = Ref(id=events[-1].actor_id, label=events[-1].actor_label)
            of_person = person if key.startswith("us_") else NOBODY
            found.append(
                replace(
                    finding,
                    subjects=Subjects(person=of_person),
                    evidence=tuple(e.evidence for e in events[-EXAMPLES:]),
                )
            )
    return found


def denied_bursts(
    new: Iterable[SeenFlow],
    around: Mapping[str, Sequence[datetime]],
    tuning: Tuning,
) -> list[Finding]:
    """Return the bursts that denied connections belong to.

    `around` holds, by device, when connections of it were denied in the time around
    the new ones, which are among them.
    """
    if not tuning.is_on(RuleId.DENIED_BURST):
        return []
    fresh = _grouped(
        (flow for flow in new if flow.is_denied), lambda flow: flow.subjects.device.id
    )
    found: list[Finding] = []
    for device, flows in fresh.items():
        moments = [flow.at for flow in flows]
        finding = _burst_finding(
            RuleId.DENIED_BURST,
            key=device,
            new=moments,
            moments=around.get(device, moments),
            needed=(DENIED_COUNT, DENIED_SECONDS),
            tuning=tuning,
            words=flows[-1].subjects.labels(),
        )
        if finding is not None:
            found.append(
                replace(
                    finding,
                    subjects=replace(flows[-1].subjects, application=NOBODY),
                    evidence=tuple(f.evidence for f in flows[-EXAMPLES:]),
                )
            )
    return found


def new_applications(
    flows: Iterable[SeenFlow],
    known: Mapping[str, Mapping[str, datetime]],
    tuning: Tuning,
) -> list[Finding]:
    """Return who reached an application for the first time after their learning time.

    `known` holds, by person, when they first reached each application, before `flows`.
    """
    if not tuning.is_on(RuleId.NEW_APPLICATION):
        return []
    rule = RULES[RuleId.NEW_APPLICATION]
    learning = timedelta(days=tuning.number(LEARNING_DAYS))
    told: dict[tuple[str, str], Finding] = {}
    for flow in sorted(flows, key=lambda flow: flow.at):
        person, application = flow.subjects.person.id, flow.subjects.application.id
        mine = known.get(person, {})
        if flow.is_denied or not person or not application or application in mine:
            continue
        is_learnt = bool(mine) and flow.at - min(mine.values()) >= learning
        if not is_learnt or (person, application) in told:
            continue
        told[person, application] = Finding(
            rule=rule.id,
            key=f"{person} {application}",
            sentence=rule.sentence.format(**flow.subjects.labels()),
            severity=rule.severity,
            first_at=flow.at,
            last_at=flow.at,
            subjects=flow.subjects,
            evidence=(flow.evidence,),
        )
    return [*told.values()]


def dormant_wakes(
    seen: Iterable[SeenFlow], known: Mapping[str, datetime], tuning: Tuning
) -> list[Finding]:
    """Return which devices came back after a long silence.

    `known` holds, by device, when it was last seen before `seen`.
    """
    if not tuning.is_on(RuleId.DORMANT_WAKES):
        return []
    rule = RULES[RuleId.DORMANT_WAKES]
    silence = timedelta(days=tuning.number(DORMANT_DAYS))
    last = dict(known)
    found: list[Finding] = []
    for flow in sorted(seen, key=lambda flow: flow.at):
        device = flow.subjects.device.id
        if not device:
            continue
        before = last.get(device)
        if before is not None and flow.at - before >= silence:
            days = (flow.at - before).days
            found.append(
                Finding(
                    rule=rule.id,
                    key=device,
                    sentence=rule.sentence.format(days=days, **flow.subjects.labels()),
                    severity=rule.severity,
                    first_at=flow.at,
                    last_at=flow.at,
                    subjects=replace(flow.subjects, application=NOBODY),
                    evidence=(flow.evidence,) if flow.reference else (),
                )
            )
        last[device] = max(flow.at, before or flow.at)
    return found


def late_revocation(
    *,
    key: str,
    revocation: Evidence,
    person: Ref,
    gateway: Ref,
    tuning: Tuning,
    now: datetime,
) -> Finding | None:
    """Return that a gateway has not confirmed in time what was asked at a moment."""
    allowed, requested_at = tuning.seconds(REVOCATION_SECONDS), revocation.at
    if not tuning.is_on(RuleId.REVOCATION_LATE) or now - requested_at < allowed:
        return None
    rule = RULES[RuleId.REVOCATION_LATE]
    subjects = Subjects(person=person, gateway=gateway)
    return Finding(
        rule=rule.id,
        key=key,
        sentence=rule.sentence.format(
            seconds=int(allowed.total_seconds()), **subjects.labels()
        ),
        severity=rule.severity,
        first_at=requested_at + allowed,
        last_at=requested_at + allowed,
        is_standing=True,
        subjects=subjects,
        evidence=(revocation,),
    )


def overdue_checkpoint(
    *, log: str, sealed_at: datetime, tuning: Tuning, now: datetime
) -> Finding | None:
    """Return that a log was not sealed for too long."""
    allowed = tuning.seconds(CHECKPOINT_SECONDS)
    if not tuning.is_on(RuleId.CHECKPOINT_OVERDUE) or now - sealed_at < allowed:
        return None
    rule = RULES[RuleId.CHECKPOINT_OVERDUE]
    return Finding(
        rule=rule.id,
        key=log,
        sentence=rule.sentence.format(log=log, seconds=int(allowed.total_seconds())),
        severity=rule.severity,
        first_at=sealed_at + allowed,
        last_at=sealed_at + allowed,
        is_standing=True,
    )


def low_room(*, reserve: int, since: datetime, tuning: Tuning) -> Finding | None:
    """Return that the log's disk has less than `reserve` MiB left, since then."""
    if not tuning.is_on(RuleId.ROOM_LOW):
        return None
    rule = RULES[RuleId.ROOM_LOW]
    return Finding(
        rule=rule.id,
        key="room",
        sentence=rule.sentence.format(reserve=reserve),
        severity=rule.severity,
        first_at=since,
        last_at=since,
        is_standing=True,
    )


def burst(
    moments: Iterable[datetime], *, number: int, within: timedelta
) -> Burst | None:
    """Return the largest burst among moments, or None."""
    ordered = sorted(moments)
    best: Burst | None = None
    for end, last in enumerate(ordered):
        begin = bisect_left(ordered, last - within)
        size = end - begin + 1
        if size >= number and (best is None or size > best.number):
            best = Burst(first=ordered[begin], last=last, number=size)
    return best


def _burst_finding(
    identity: RuleId,
    *,
    key: str,
    new: Sequence[datetime],
    moments: Sequence[datetime],
    needed: tuple[Parameter, Parameter],
    tuning: Tuning,
    words: Mapping[str, str],
) -> Finding | None:
    """Return a burst that new moments make or go on with.

    What was counted before is not counted again: when the moments without the new ones
    were a burst already, only the new ones count.
    """
    number, within = tuning.number(needed[0]), tuning.seconds(needed[1])
    reach = Counter(
        at for at in moments if min(new) - within <= at <= max(new) + within
    ) | Counter(new)
    found = burst(reach.elements(), number=number, within=within)
    rest = reach - Counter(new)
    before = burst(rest.elements(), number=number, within=within)
    if before is not None and not _near(new, before, within):
        found, before = burst(new, number=number, within=within), None
    if found is None:
        return None
    rule = RULES[identity]
    seconds = int(within.total_seconds())
    great = found.number >= GREAT_BURST * number
    return Finding(
        rule=identity,
        key=key,
        sentence=rule.sentence.format(number=found.number, seconds=seconds, **words),
        severity=Severity.ALERT if great else rule.severity,
        first_at=found.first,
        last_at=max(found.last, *new),
        count=len(new) if before else max(found.number, len(new)),
    )


def _near(new: Sequence[datetime], known: Burst, within: timedelta) -> bool:
    return any(known.first - within <= at <= known.last + within for at in new)


def _grouped(
    items: Iterable[Item], key: Callable[[Item], str]
) -> dict[str, list[Item]]:
    groups: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        if name := key(item):
            groups[name].append(item)
    return groups


def _refused_key(event: SeenEvent) -> str:
    if event.outcome != Outcome.REFUSED:
        return ""
    return event.actor_id or event.place


def _event_key(event: SeenEvent) -> str:
    """Return of what there is one alarm at a time."""
    subjects = event.subjects
    if event.code in {"SE004", "KY009"}:
        return subjects.device.id or subjects.person.id
    if event.code == "AU010":
        return str(event.details.get("code", "")) or "refusals"
    if event.code == "ID016":
        return subjects.person.id
    return subjects.gateway.id or event.target_id or "log"


def _event_sentence(template: str, event: SeenEvent) -> str:
    if event.code in {"AU010", "AU033", "AU005", "AU017", "ID016", "RQ008"}:
        return event.sentence
    return template.format(**event.subjects.labels())
