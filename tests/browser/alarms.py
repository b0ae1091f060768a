"""Alarms as a security team would find them, for tests and pictures."""

from __future__ import annotations

from datetime import datetime, timedelta

from audit.actor import SYSTEM, Ref
from audit.alarms import channels, services
from audit.alarms.channels import ChannelInput
from audit.alarms.findings import Evidence, Finding, Subjects
from audit.alarms.models import (
    AlarmVerdict,
    ChannelKind,
    Delivery,
    DeliveryState,
    Watch,
)
from audit.alarms.rules import RULES, RuleId
from audit.events import EventCode, Outcome
from audit.models import Connection
from audit.services import record
from tests.browser.world import World


def make_alarms(world: World, now: datetime) -> tuple[str, ...]:
    """Make alarms of several rules and channels; return the pages about them."""
    berlin, laptop = world.gateways["berlin"].ref, world.devices["laptop"].ref
    alice, wiki = world.people["alice"].ref, world.applications["wiki"].ref
    drift = record(
        EventCode.GATEWAY_DRIFT,
        actor=SYSTEM,
        now=now,
        outcome=Outcome.ALERT,
        gateway=berlin,
        reason="a rule was added by nft (process 4711)",
    )
    proof = Evidence(kind="event", reference=str(drift.uid), at=now)
    seen = [
        Evidence(
            kind="connection",
            reference=f"{row.gateway_id}/{row.flow}",
            at=row.started_at,
            text=f"{row.source} → {row.destination} port {row.destination_port}",
        )
        for row in Connection.objects.order_by("pk")[:4]
    ]
    denied = Subjects(person=alice, device=laptop, gateway=berlin)
    first, second, third = services.raise_findings(
        [
            _finding(
                RuleId.DRIFT, berlin, now, proof, subjects=Subjects(gateway=berlin)
            ),
            _finding(
                RuleId.DENIED_BURST, laptop, now, *seen, subjects=denied, count=214
            ),
            _finding(
                RuleId.NEW_APPLICATION,
                wiki,
                now - timedelta(hours=2),
                seen[0],
                subjects=Subjects(person=alice, application=wiki),
            ),
        ],
        now=now,
    )
    services.assign_alarm(
        alarm=second, assignee=world.people["dave"].ref, actor=SYSTEM, now=now
    )
    services.close_alarm(
        alarm=third,
        verdict=AlarmVerdict.BENIGN,
        note="Alice moved to the team that writes the wiki",
        actor=SYSTEM,
        now=now,
    )
    for name in ("events", "flows", "sightings"):
        Watch.objects.create(name=name, since=now - timedelta(days=9), ran_at=now)
    made, _ = channels.create_channel(
        wanted=ChannelInput(
            name="Security desk",
            kind=ChannelKind.WEBHOOK,
            address="https://hooks.example.com/services/T0/B0/xyz",
        ),
        actor=SYSTEM,
        now=now,
    )
    for state, error in (
        (DeliveryState.DELIVERED, ""),
        (DeliveryState.GIVEN_UP, "the receiver answered with status 503"),
    ):
        Delivery.objects.create(
            channel=made,
            alarm=first,
            cause="raised",
            state=state,
            attempts=2,
            created_at=now,
            next_attempt_at=now,
            ended_at=now,
            last_error=error,
        )
    base, channel = "/audit/alarms/", f"/audit/alarms/channels/{made.pk}/"
    return (
        base,
        f"{base}?state=all",
        f"{base}?rule=log-gap",
        *(f"{base}{alarm.pk}/" for alarm in (first, second, third)),
        *(f"{base}{first.pk}/{act}/" for act in ("acknowledge", "assign", "verdict")),
        f"{base}rules/",
        f"{base}channels/",
        f"{base}channels/add/",
        channel,
        *(f"{channel}{act}/" for act in ("edit", "delete", "test", "secret")),
    )


def _finding(
    rule: RuleId,
    about: Ref,
    at: datetime,
    *evidence: Evidence,
    subjects: Subjects,
    count: int = 1,
) -> Finding:
    sentence = RULES[rule].sentence.format(number=214, seconds=60, **subjects.labels())
    return Finding(
        rule=rule,
        key=about.id,
        sentence=sentence,
        severity=RULES[rule].severity,
        first_at=at,
        last_at=at,
        count=count,
        subjects=subjects,
        evidence=evidence,
    )
