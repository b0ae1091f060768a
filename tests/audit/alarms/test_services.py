"""One alarm with a count, and what people do with it, each with its event."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from audit.actor import Actor, Ref
from audit.alarms import services
from audit.alarms.errors import AlarmError
from audit.alarms.findings import Evidence
from audit.alarms.models import (
    Alarm,
    AlarmChannel,
    AlarmState,
    AlarmVerdict,
    Delivery,
    DeliveryCause,
)
from audit.alarms.rules import RuleId, Severity
from audit.models import AuditEvent
from tests.audit.alarms.makers import ALICE, NOW, after, finding

pytestmark = pytest.mark.django_db
HOUR = 3600


@pytest.fixture
def alarm() -> Alarm:
    """An alarm that is open."""
    (opened,) = services.raise_findings([finding()], now=NOW)
    return opened


@pytest.fixture
def channel() -> AlarmChannel:
    """A channel that carries everything."""
    return AlarmChannel.objects.create(
        name="desk",
        kind="mail",
        address="desk@example.test",
        least_severity=1,
        created_at=NOW,
    )


def causes() -> list[str]:
    return [str(row.cause) for row in Delivery.objects.order_by("pk")]


def test_a_finding_opens_an_alarm_and_writes_its_event() -> None:
    (opened,) = services.raise_findings([finding()], now=after(1))
    assert (opened.rule, opened.key, opened.state) == ("drift", "gw_1", "open")
    assert (opened.count, opened.severity, opened.gateway_id) == (1, 3, "gw_1")
    event = AuditEvent.objects.get(code="AL001")
    assert (event.outcome, event.gateway_id) == ("A", "gw_1")
    assert event.target_id == opened.ref.id
    assert event.sentence == f"Alert: {opened.sentence}"


def test_what_is_found_again_counts_in_the_same_alarm(alarm: Alarm) -> None:
    again = [finding(at=after(n)) for n in (1, 2, 3)]
    assert services.raise_findings(again, now=after(4)) == []
    alarm.refresh_from_db()
    assert (alarm.count, alarm.last_seen_at) == (4, after(3))
    assert AuditEvent.objects.filter(code="AL001").count() == 1


def test_other_keys_and_rules_are_other_alarms(alarm: Alarm) -> None:
    others = [finding(key="gw_2"), finding(RuleId.LOG_GAP)]
    assert len(services.raise_findings(others, now=NOW)) == 2


def test_a_state_that_goes_on_counts_once(alarm: Alarm) -> None:
    state = finding(RuleId.REVOCATION_LATE, key="rv_1 gw_1", is_standing=True)
    for seconds in range(3):
        services.raise_findings([state], now=after(seconds))
    assert Alarm.objects.get(rule="revocation-late").count == 1


def test_a_state_stays_told_when_its_alarm_is_closed(actor: Actor) -> None:
    state = finding(RuleId.REVOCATION_LATE, key="rv_1 gw_1", is_standing=True)
    (opened,) = services.raise_findings([state], now=NOW)
    close(opened, actor)
    assert services.raise_findings([state], now=after(HOUR)) == []


def test_evidence_is_kept_once_and_to_a_limit(alarm: Alarm) -> None:
    def proof(number: int) -> Evidence:
        return Evidence(kind="event", reference=f"e{number}", at=after(number))

    many = tuple(map(proof, range(services.EVIDENCE_KEPT + 20)))
    services.raise_findings([finding(evidence=many[:3])], now=NOW)
    services.raise_findings([finding(evidence=many)], now=NOW)
    assert alarm.evidence.count() <= services.EVIDENCE_KEPT
    assert alarm.evidence.filter(reference="e1").count() == 1


def test_names_are_made_visible() -> None:
    (opened,) = services.raise_findings([finding(sentence="a\u202eb")], now=NOW)
    assert opened.sentence == "a\\u202eb"


def close(
    alarm: Alarm, actor: Actor, verdict: AlarmVerdict = AlarmVerdict.TRUE
) -> Alarm:
    return services.close_alarm(
        alarm=alarm, verdict=verdict, note="it was me", actor=actor, now=after(60)
    )


def test_after_it_was_closed_the_next_finding_opens_another(
    alarm: Alarm, actor: Actor
) -> None:
    close(alarm, actor)
    (opened,) = services.raise_findings([finding(at=after(61))], now=after(61))
    assert opened.pk != alarm.pk


def test_what_is_found_late_belongs_to_the_closed_alarm(
    alarm: Alarm, actor: Actor
) -> None:
    close(alarm, actor)
    assert services.raise_findings([finding(at=after(30))], now=after(61)) == []
    alarm.refresh_from_db()
    assert (alarm.count, alarm.state) == (2, AlarmState.CLOSED)


@pytest.mark.parametrize("verdict", AlarmVerdict)
def test_a_verdict_closes_with_its_note_and_event(
    verdict: AlarmVerdict, alarm: Alarm, actor: Actor
) -> None:
    closed = close(alarm, actor, verdict)
    assert (closed.state, closed.verdict, closed.note) == (
        "closed",
        verdict,
        "it was me",
    )
    event = AuditEvent.objects.get(code="AL004")
    assert (event.reason, event.details["verdict"]) == ("it was me", verdict)


def test_a_shared_key_that_is_judged_has_the_event_of_keys(actor: Actor) -> None:
    (opened,) = services.raise_findings(
        [finding(RuleId.SHARED_KEY, key="dv_1")], now=NOW
    )
    close(opened, actor)
    assert AuditEvent.objects.get(code="KY010").details["verdict"] == "true"
    assert not AuditEvent.objects.filter(code="AL004").exists()


def test_another_verdict_corrects_the_first_and_leaves_the_time(
    alarm: Alarm, actor: Actor
) -> None:
    first = close(alarm, actor)
    second = services.close_alarm(
        alarm=alarm,
        verdict=AlarmVerdict.FALSE,
        note="no",
        actor=actor,
        now=after(HOUR),
    )
    assert (second.verdict, second.closed_at) == ("false", first.closed_at)
    before = [e.details["before"] for e in AuditEvent.objects.filter(code="AL004")]
    assert before == ["true", ""]


@pytest.mark.parametrize("note", ["", "  ", "x" * 1001])
def test_a_verdict_needs_a_note(note: str, alarm: Alarm, actor: Actor) -> None:
    with pytest.raises(AlarmError, match="a note has"):
        services.close_alarm(
            alarm=alarm, verdict=AlarmVerdict.TRUE, note=note, actor=actor, now=NOW
        )
    alarm.refresh_from_db()
    assert alarm.state == AlarmState.OPEN


def test_acknowledging_is_one_event_however_often(alarm: Alarm, actor: Actor) -> None:
    for _ in range(2):
        services.acknowledge_alarm(alarm=alarm, actor=actor, now=after(5))
    assert (alarm.state, alarm.acknowledged_at) == ("acknowledged", after(5))
    assert AuditEvent.objects.filter(code="AL002").count() == 1


def test_assigning_names_the_person(alarm: Alarm, actor: Actor) -> None:
    services.assign_alarm(alarm=alarm, assignee=ALICE, actor=actor, now=NOW)
    assert (alarm.assignee_id, alarm.assignee_label) == ("us_1", "Alice")
    services.assign_alarm(alarm=alarm, assignee=Ref(id=""), actor=actor, now=NOW)
    told = [(e.person_id, e.details["before"]) for e in assigned()]
    assert told == [("us_1", ""), ("", "us_1")]


def assigned() -> list[AuditEvent]:
    return [*AuditEvent.objects.filter(code="AL003").order_by("pk")]


def test_assigning_to_the_same_again_is_no_event(alarm: Alarm, actor: Actor) -> None:
    for _ in range(2):
        services.assign_alarm(alarm=alarm, assignee=ALICE, actor=actor, now=NOW)
    assert len(assigned()) == 1


def test_two_who_assign_at_once_do_not_overwrite_each_other(
    alarm: Alarm, actor: Actor
) -> None:
    stale = Alarm.objects.get(pk=alarm.pk)
    services.assign_alarm(alarm=alarm, assignee=ALICE, actor=actor, now=NOW)
    with pytest.raises(AlarmError, match="meanwhile"):
        services.assign_alarm(
            alarm=stale, assignee=Ref(id="us_2", label="Bob"), actor=actor, now=NOW
        )
    assert Alarm.objects.get().assignee_id == "us_1"


@pytest.mark.parametrize(
    "act",
    [
        lambda alarm, actor: services.acknowledge_alarm(
            alarm=alarm, actor=actor, now=NOW
        ),
        lambda alarm, actor: services.assign_alarm(
            alarm=alarm, assignee=ALICE, actor=actor, now=NOW
        ),
    ],
    ids=["acknowledge", "assign"],
)
def test_a_closed_alarm_takes_nothing_but_a_verdict(
    act: Callable[[Alarm, Actor], Alarm], alarm: Alarm, actor: Actor
) -> None:
    close(alarm, actor)
    with pytest.raises(AlarmError, match="closed"):
        act(alarm, actor)
    assert not AuditEvent.objects.filter(code__in=["AL002", "AL003"]).exists()


def test_a_new_alarm_notifies_the_channels_that_carry_it(
    channel: AlarmChannel,
) -> None:
    AlarmChannel.objects.create(
        name="other", kind="mail", least_severity=1, rules="log-gap", created_at=NOW
    )
    AlarmChannel.objects.create(
        name="off", kind="mail", least_severity=1, enabled=False, created_at=NOW
    )
    services.raise_findings([finding()], now=NOW)
    (queued,) = Delivery.objects.all()
    assert (queued.channel, queued.cause) == (channel, DeliveryCause.RAISED)


def test_an_alarm_that_goes_on_is_quiet_for_an_hour(channel: AlarmChannel) -> None:
    for seconds in (0, 1, 60, HOUR - 1, HOUR, HOUR + 1):
        services.raise_findings([finding(at=after(seconds))], now=after(seconds))
    assert causes() == ["raised", "again"]


def test_an_acknowledged_alarm_stays_quiet(channel: AlarmChannel, actor: Actor) -> None:
    (opened,) = services.raise_findings([finding()], now=NOW)
    services.acknowledge_alarm(alarm=opened, actor=actor, now=NOW)
    later = NOW + timedelta(days=2)
    services.raise_findings([finding(at=later)], now=later)
    assert causes() == ["raised"]


def test_an_alarm_that_becomes_worse_notifies_at_once(
    channel: AlarmChannel, actor: Actor
) -> None:
    mild = finding(RuleId.DENIED_BURST, key="dv_1", severity=Severity.WARNING)
    bad = finding(RuleId.DENIED_BURST, key="dv_1", severity=Severity.ALERT, at=after(1))
    (opened,) = services.raise_findings([mild], now=NOW)
    services.acknowledge_alarm(alarm=opened, actor=actor, now=NOW)
    for _ in range(2):
        services.raise_findings([bad], now=after(1))
    assert causes() == ["raised", "risen"]
    opened.refresh_from_db()
    assert opened.severity == Severity.ALERT
