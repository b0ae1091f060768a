"""What rules look at, and what they find: frozen values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from audit.actor import Ref
from audit.alarms.rules import RuleId, Severity

NOBODY: Final = Ref(id="")
EXAMPLES: Final = 10
"""Pieces of evidence that one finding carries at most; the count says how many more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a finding rests on: an event's unique id, or a flow at its gateway.

    `kind` is `event` or `connection`; a connection's `reference` is `gw_1/flow`.
    """

    kind: str
    reference: str
    at: datetime
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """Whom a finding concerns; `NOBODY` where nobody is known."""

    person: Ref = NOBODY
    device: Ref = NOBODY
    gateway: Ref = NOBODY
    application: Ref = NOBODY

    def labels(self) -> dict[str, str]:
        """Return how a sentence calls them."""
        return {
            "person": self.person.label or self.person.id or "somebody",
            "device": self.device.label or self.device.id or "a device",
            "gateway": self.gateway.label or self.gateway.id or "a gateway",
            "application": self.application.label
            or self.application.id
            or "an application",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule holds of something. `count` is how many times since it was last said.

    A finding that `is_standing` is a state and not a happening: it is found again at
    every look, with the same times, and counts once.
    """

    rule: RuleId
    key: str
    sentence: str
    severity: Severity
    first_at: datetime
    last_at: datetime
    count: int = 1
    is_standing: bool = False
    subjects: Subjects = field(default_factory=Subjects)
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEvent:
    """An event of the control log, as far as a rule looks at it."""

    uid: str
    at: datetime
    code: str
    outcome: str
    sentence: str
    actor_id: str
    actor_label: str
    place: str
    subjects: Subjects
    target_id: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def evidence(self) -> Evidence:
        """The event as evidence."""
        return Evidence(
            kind="event", reference=self.uid, at=self.at, text=self.sentence
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFlow:
    """A connection that a gateway allowed or denied."""

    reference: str
    at: datetime
    is_denied: bool
    subjects: Subjects
    text: str = ""

    @property
    def evidence(self) -> Evidence:
        """The connection as evidence."""
        return Evidence(
            kind="connection", reference=self.reference, at=self.at, text=self.text
        )


def folded(findings: Iterable[Finding]) -> list[Finding]:
    """Return one finding for each rule and key, counted together."""
    together: dict[tuple[RuleId, str], Finding] = {}
    for finding in findings:
        key = (finding.rule, finding.key)
        before = together.get(key)
        if before is None:
            together[key] = finding
            continue
        latest = finding if finding.last_at >= before.last_at else before
        together[key] = replace(
            latest,
            severity=max(before.severity, finding.severity),
            first_at=min(before.first_at, finding.first_at),
            count=before.count + finding.count,
            evidence=(*before.evidence, *finding.evidence),
        )
    return [*together.values()]
