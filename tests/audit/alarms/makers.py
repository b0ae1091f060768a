"""Facts for rules, as short as they can be said."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final

from audit.actor import SYSTEM, Actor, ActorKind, Ref
from audit.alarms.findings import Finding, SeenEvent, SeenFlow, Subjects
from audit.alarms.rules import RULES, RuleId, Severity, Tuning
from audit.events import EventCode, Outcome
from audit.flows import AttributedFlow
from audit.models import AuditEvent, FlowKind
from audit.services import record, record_flows

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ALICE: Final = Ref(id="us_1", label="Alice")
LAPTOP: Final = Ref(id="dv_1", label="laptop")
GW1: Final = Ref(id="gw_1", label="gw1")
WIKI: Final = Ref(id="ap_1", label="wiki")
PAYROLL: Final = Ref(id="ap_2", label="payroll")
DEFAULTS: Final = Tuning(values={})


def after(seconds: float) -> datetime:
    """Return a moment later than now."""
    return NOW + timedelta(seconds=seconds)


def seen(
    code: str,
    *,
    outcome: str = "A",
    at: datetime = NOW,
    **facts: Any,  # noqa: ANN401 -- the fields of an event
) -> SeenEvent:
    """Return an event of the log about a gateway and a device."""
    known: dict[str, Any] = {
        "uid": str(uuid.uuid4()),
        "sentence": "Something happened",
        "actor_id": "",
        "actor_label": "",
        "place": "",
        "subjects": Subjects(person=ALICE, device=LAPTOP, gateway=GW1),
    }
    return SeenEvent(code=code, outcome=outcome, at=at, **(known | facts))


def flow(
    at: datetime = NOW,
    *,
    denied: bool = False,
    device: Ref = LAPTOP,
    person: Ref = ALICE,
    application: Ref = WIKI,
) -> SeenFlow:
    """Return a connection of alice's laptop."""
    return SeenFlow(
        reference=f"gw_1/{uuid.uuid4()}",
        at=at,
        is_denied=denied,
        subjects=Subjects(
            person=person, device=device, gateway=GW1, application=application
        ),
        text="10.0.0.1 → 10.1.0.1 port 443",
    )


def finding(
    rule: RuleId = RuleId.DRIFT,
    *,
    key: str = "gw_1",
    at: datetime = NOW,
    severity: Severity | None = None,
    **facts: Any,  # noqa: ANN401 -- the fields of a finding
) -> Finding:
    """Return a finding about gw1."""
    known: dict[str, Any] = {
        "sentence": "The kernel of gw1 held something else",
        "first_at": at,
        "last_at": at,
        "subjects": Subjects(gateway=GW1),
    }
    return Finding(
        rule=rule,
        key=key,
        severity=severity or RULES[rule].severity,
        **(known | facts),
    )


def event(
    code: EventCode,
    outcome: Outcome = Outcome.ALERT,
    *,
    at: datetime = NOW,
    **facts: Any,  # noqa: ANN401 -- those of `record`
) -> AuditEvent:
    """Write an event about gw1."""
    return record(
        code,
        actor=facts.pop("actor", SYSTEM),
        now=at,
        outcome=outcome,
        **{"gateway": GW1, **facts},
    )


def stranger(address: str) -> Actor:
    """Return nobody, from an address."""
    return Actor(kind=ActorKind.ANONYMOUS, address=address)


def connections(
    *moments: datetime,
    first: int = 1,
    denied: bool = False,
    device: Ref = LAPTOP,
    person: Ref = ALICE,
    application: Ref = WIKI,
) -> None:
    """Write what a gateway saw of alice's laptop, numbered from `first`."""
    record_flows(
        gateway=GW1,
        now=max(moments),
        flows=[
            AttributedFlow(
                kind=FlowKind.DENY if denied else FlowKind.OPEN,
                sequence=number,
                at=at,
                flow=f"flow-{number}",
                protocol=6,
                source=ip_address("100.64.0.1"),
                destination=ip_address("10.1.0.1"),
                source_port=40_000,
                destination_port=443,
                person=person,
                device=device,
                application=application,
            )
            for number, at in enumerate(moments, first)
        ],
    )
