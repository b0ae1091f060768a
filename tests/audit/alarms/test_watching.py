"""The log is read for alarms: everything once, nothing twice, and only what is new."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pytest_django import Settings

from audit.actor import Ref
from audit.alarms import watching
from audit.alarms.models import Acquaintance, Alarm, DeviceActivity, Watch
from audit.events import EventCode, Outcome
from audit.models import AuditEvent, FlowEvent, Log, SealerState
from tests.audit.alarms.makers import (
    ALICE,
    NOW,
    PAYROLL,
    WIKI,
    after,
    connections,
    event,
    stranger,
)

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def begun(settings: Settings) -> None:
    """Both logs are watched since now; three of a kind are a burst."""
    settings.PEERAGE_ALARM_PARAMETERS = {"DENIED_COUNT": 3, "REFUSED_COUNT": 3}
    watching.watch_events(now=NOW)
    watching.watch_flows(now=NOW)


def test_what_was_written_before_the_watch_raises_nothing() -> None:
    event(EventCode.GATEWAY_DRIFT)
    assert watching.watch_events(now=NOW) == 0
    assert not Alarm.objects.exists()


def test_an_event_is_judged_once(begun: None) -> None:
    drift = event(EventCode.GATEWAY_DRIFT)
    assert watching.watch_events(now=after(5)) >= 1
    watching.watch_events(now=after(10))
    (alarm,) = Alarm.objects.all()
    assert (alarm.rule, alarm.count) == ("drift", 1)
    assert alarm.evidence.get().reference == str(drift.uid)
    assert Watch.objects.get(name="events").ran_at == after(10)


def test_alarms_raise_no_alarms(begun: None) -> None:
    event(EventCode.GATEWAY_DRIFT)
    for seconds in range(5):
        watching.watch_events(now=after(seconds))
    assert Alarm.objects.count() == 1
    assert AuditEvent.objects.count() == 2


def test_more_than_a_part_is_read_in_parts(
    begun: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "BATCH", 4)
    for _ in range(11):
        event(EventCode.GATEWAY_DRIFT)
    watching.watch_events(now=NOW)
    assert Alarm.objects.get().count == 11


def test_a_run_is_bounded_and_the_next_goes_on(
    begun: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "BATCH", 2)
    monkeypatch.setattr(watching, "BATCHES", 2)
    for _ in range(7):
        event(EventCode.GATEWAY_APPLY, Outcome.DONE)
    assert [watching.watch_events(now=NOW) for _ in range(3)] == [4, 3, 0]


def test_a_row_that_appears_late_is_judged_once(begun: None) -> None:
    """As on PostgreSQL, where a number given early may be committed late."""
    event(EventCode.GATEWAY_DRIFT)
    for _ in range(2):
        watching.watch_events(now=NOW)
    seen = Watch.objects.get(name="events")
    gap = [seen.position + 1, seen.position + 1, 2**60, 0]
    late = event(EventCode.GATEWAY_DRIFT)
    assert late.pk == seen.position + 1
    Watch.objects.filter(name="events").update(position=late.pk, gaps=[gap])
    for seconds in (1, 2):
        watching.watch_events(now=after(seconds))
    assert Alarm.objects.get().count == 2


def test_what_fails_is_judged_again(
    begun: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    event(EventCode.GATEWAY_DRIFT)

    def broken(*_args: object) -> list[object]:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(watching, "judge_events", broken)
        with pytest.raises(RuntimeError):
            watching.watch_events(now=NOW)
    assert not Alarm.objects.exists()
    watching.watch_events(now=NOW)
    assert Alarm.objects.get().count == 1


def test_refusals_of_a_stranger_are_counted_over_several_runs(begun: None) -> None:
    for seconds in range(4):
        event(
            EventCode.GATEWAY_REQUEST_REFUSED,
            Outcome.REFUSED,
            at=after(seconds),
            actor=stranger("192.0.2.7"),
        )
        watching.watch_events(now=after(seconds))
    (alarm,) = Alarm.objects.all()
    assert (alarm.rule, alarm.key, alarm.count) == ("refused-burst", "192.0.2.7", 4)


def test_denied_connections_of_a_device_are_counted_over_several_runs(
    begun: None,
) -> None:
    for seconds in range(4):
        connections(after(seconds), first=seconds + 1, denied=True)
        watching.watch_flows(now=after(seconds))
    (alarm,) = Alarm.objects.all()
    assert (alarm.rule, alarm.key, alarm.count) == ("denied-burst", "dv_1", 4)
    assert alarm.evidence.first().reference.startswith("gw_1/flow-")  # type: ignore[union-attr]


def test_a_new_application_is_an_alarm_once_and_then_known(begun: None) -> None:
    connections(NOW, first=1)
    watching.watch_flows(now=NOW)
    later = NOW + 20 * DAY
    for number in (2, 3):
        connections(later, first=number, application=PAYROLL)
        watching.watch_flows(now=later)
    alarm = Alarm.objects.get(rule="new-application")
    assert (alarm.person_id, alarm.application_id, alarm.count) == ("us_1", "ap_2", 1)
    known = Acquaintance.objects.filter(person_id="us_1")
    assert {row.application_id for row in known} == {"ap_1", "ap_2"}


def test_connections_of_before_are_learnt_and_raise_nothing() -> None:
    connections(NOW - 40 * DAY, first=1)
    connections(NOW - 20 * DAY, first=2, application=PAYROLL)
    watching.watch_flows(now=NOW)
    assert not Alarm.objects.exists()
    assert Acquaintance.objects.count() == 2
    assert DeviceActivity.objects.get().last_at == NOW - 20 * DAY
    connections(NOW, first=3, application=Ref(id="ap_3", label="git"))
    watching.watch_flows(now=NOW)
    assert Alarm.objects.get(rule="new-application").application_label == "git"


def test_a_dormant_device_that_connects_is_an_alarm(begun: None) -> None:
    connections(NOW)
    watching.watch_flows(now=NOW)
    connections(NOW + 31 * DAY, NOW + 31 * DAY + timedelta(seconds=1), first=2)
    watching.watch_flows(now=NOW + 31 * DAY)
    alarm = Alarm.objects.get(rule="dormant-wakes")
    assert (alarm.device_id, alarm.person_label, alarm.count) == ("dv_1", "Alice", 1)


def test_a_moment_far_ahead_does_not_hide_a_later_silence(begun: None) -> None:
    connections(NOW + 999 * DAY)
    FlowEvent.objects.get()
    Watch.objects.filter(name="flows").update(position=0)
    assert (
        watching.seen_flow(
            FlowEvent(
                gateway_id="gw_1",
                flow="f",
                kind="open",
                at=NOW + 999 * DAY,
                received_at=NOW,
                attribution={},
            )
        ).at
        == NOW
    )


def test_rules_that_are_off_are_not_watched(begun: None, settings: Settings) -> None:
    settings.PEERAGE_ALARM_RULES_OFF = ["drift"]
    event(EventCode.GATEWAY_DRIFT)
    watching.watch_events(now=NOW)
    assert not Alarm.objects.exists()


def test_denials_are_not_learnt_as_use(begun: None) -> None:
    connections(NOW, denied=True)
    watching.watch_flows(now=NOW)
    assert not Acquaintance.objects.exists()
    assert (ALICE.id, WIKI.id) == ("us_1", "ap_1")


def sealed_at(moment: datetime) -> None:
    for log in Log:
        SealerState.objects.update_or_create(
            log=log, defaults={"size": 0, "signed_at": moment, "note": ""}
        )


def test_a_log_that_is_not_signed_for_a_minute_is_told_once() -> None:
    sealed_at(NOW)
    watching.watch_checkpoints(now=after(59))
    assert not Alarm.objects.exists()
    for seconds in (60, 65):
        watching.watch_checkpoints(now=after(seconds))
    found = Alarm.objects.filter(rule="checkpoint-overdue")
    assert found.values_list("count").distinct().get() == (1,)
    assert found.count() == len(Log)


def test_a_log_that_was_never_signed_is_told_while_events_wait() -> None:
    event(EventCode.GATEWAY_DRIFT, at=NOW)
    watching.watch_checkpoints(now=after(61))
    assert Alarm.objects.filter(rule="checkpoint-overdue").count() == 1
