"""What is an alarm and what is none: facts in, findings out. No database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.actor import Ref
from audit.alarms import judging
from audit.alarms.findings import Evidence, folded
from audit.alarms.rules import RuleId, Severity, Tuning
from tests.audit.alarms.makers import (
    ALICE,
    DEFAULTS,
    GW1,
    NOW,
    PAYROLL,
    WIKI,
    after,
    finding,
    flow,
    seen,
)

DAY = timedelta(days=1)
FEW = Tuning(
    values={
        "DENIED_COUNT": 3,
        "DENIED_SECONDS": 10,
        "REFUSED_COUNT": 3,
        "REFUSED_SECONDS": 10,
    }
)


@pytest.mark.parametrize(
    ("code", "outcome", "rule", "key"),
    [
        ("GW006", "A", RuleId.DRIFT, "gw_1"),
        ("GW008", "A", RuleId.LOG_GAP, "gw_1"),
        ("GW022", "A", RuleId.LOG_GAP, "gw_1"),
        ("AU004", "A", RuleId.VERIFY_FAILED, "gw_1"),
        ("SE004", "A", RuleId.SHARED_KEY, "dv_1"),
        ("KY009", "A", RuleId.SHARED_KEY, "dv_1"),
        ("GW003", "A", RuleId.GATEWAY_SILENT, "gw_1"),
        ("GW020", "A", RuleId.GATEWAY_QUARANTINED, "gw_1"),
        ("GW030", "A", RuleId.GATEWAY_AHEAD, "gw_1"),
        ("FL004", "A", RuleId.FLOW_UNATTRIBUTED, "gw_1"),
        ("PL008", "E", RuleId.POLICY_NOT_COMPILED, "gw_1"),
        ("AU005", "I", RuleId.EVIDENCE_GOES, "gw_1"),
        ("AU017", "I", RuleId.EVIDENCE_GOES, "gw_1"),
        ("ID016", "I", RuleId.EVIDENCE_GOES, "us_1"),
    ],
)
def test_an_event_raises_its_alarm(
    code: str, outcome: str, rule: RuleId, key: str
) -> None:
    event = seen(code, outcome=outcome)
    (found,) = judging.event_findings([event], DEFAULTS)
    assert (found.rule, found.key, found.count) == (rule, key, 1)
    assert found.evidence[0].reference == event.uid
    assert "{" not in found.sentence


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("GW004", "I"), ("GW006", "I"), ("GW030", "W"), ("ID001", "A")],
)
def test_other_events_raise_nothing(code: str, outcome: str) -> None:
    assert judging.event_findings([seen(code, outcome=outcome)], DEFAULTS) == []


def test_a_rule_that_is_off_finds_nothing() -> None:
    off = Tuning(values={}, off=frozenset(RuleId))
    assert judging.event_findings([seen("GW006")], off) == []
    flows = [flow(after(n), denied=True) for n in range(99)]
    assert judging.denied_bursts(flows, {}, off) == []
    refused = [seen("ID015", outcome="W", actor_id="us_1")] * 99
    assert judging.refused_bursts(refused, refused, off) == []
    known = {"us_1": {"ap_2": NOW - 99 * DAY}}
    assert judging.new_applications([flow()], known, off) == []
    assert judging.dormant_wakes([flow()], {"dv_1": NOW - 99 * DAY}, off) == []
    assert late(999, off) is None
    assert overdue(999, off) is None


@pytest.mark.parametrize(
    ("moments", "number"),
    [
        ([], None),
        ([0, 5], None),
        ([0, 5, 10], 3),
        ([0, 5, 11], None),
        ([0, 100, 101, 102, 200], 3),
        ([0, 0, 0, 0], 4),
    ],
)
def test_a_burst_is_so_many_within_so_long(
    moments: list[int], number: int | None
) -> None:
    found = judging.burst(map(after, moments), number=3, within=timedelta(seconds=10))
    assert (found.number if found else None) == number


@given(st.lists(st.integers(0, 60), max_size=30), st.randoms())
def test_a_burst_does_not_depend_on_the_order(
    moments: list[int], random: object
) -> None:
    shuffled = sorted(moments, key=lambda _: random.random())  # type: ignore[attr-defined]
    first, second = (
        judging.burst(map(after, some), number=3, within=timedelta(seconds=10))
        for some in (moments, shuffled)
    )
    assert first == second


def test_many_denials_of_one_device_are_one_finding() -> None:
    flows = [flow(after(n), denied=True) for n in range(4)]
    (found,) = judging.denied_bursts(flows, {}, FEW)
    assert (found.key, found.count, found.severity) == ("dv_1", 4, Severity.WARNING)
    assert found.sentence == "laptop was denied 4 times within 10 s"
    assert len(found.evidence) == 4


def test_denials_of_two_devices_are_no_burst_of_either() -> None:
    other = Ref(id="dv_2", label="phone")
    flows = [
        flow(after(n), denied=True, device=d) for n in (1, 2) for d in (other, WIKI)
    ]
    assert judging.denied_bursts(flows, {}, FEW) == []


def test_denials_that_were_read_before_complete_a_burst() -> None:
    new = [flow(after(3), denied=True)]
    around = {"dv_1": [after(1), after(2), after(3)]}
    (found,) = judging.denied_bursts(new, around, FEW)
    assert found.count == 3


def test_a_burst_that_goes_on_counts_only_what_is_new() -> None:
    new = [flow(after(4), denied=True)]
    around = {"dv_1": [after(1), after(2), after(3), after(4)]}
    (found,) = judging.denied_bursts(new, around, FEW)
    assert found.count == 1


def test_one_denial_long_after_a_burst_is_no_burst() -> None:
    new = [flow(after(100), denied=True)]
    around = {"dv_1": [after(1), after(2), after(3), after(100)]}
    assert judging.denied_bursts(new, around, FEW) == []


def test_ten_times_a_burst_is_an_alert() -> None:
    flows = [flow(after(n / 10), denied=True) for n in range(30)]
    (found,) = judging.denied_bursts(flows, {}, FEW)
    assert found.severity is Severity.ALERT


def test_allowed_connections_are_no_denials() -> None:
    assert judging.denied_bursts([flow(after(n)) for n in range(9)], {}, FEW) == []


def test_refusals_of_a_person_are_a_burst_wherever_they_come_from() -> None:
    events = [
        seen("ID015", outcome="W", at=after(n), actor_id="us_1", place=f"192.0.2.{n}")
        for n in range(3)
    ]
    (found,) = judging.refused_bursts(events, events, FEW)
    assert (found.key, found.subjects.person.id, found.count) == ("us_1", "us_1", 3)


def test_refusals_of_strangers_are_a_burst_of_their_place() -> None:
    events = [
        seen("GW013", outcome="W", at=after(n), place=place)
        for n in range(3)
        for place in ("192.0.2.1", f"192.0.2.{n + 10}")
    ]
    (found,) = judging.refused_bursts(events, events, FEW)
    assert (found.key, found.subjects.person.id) == ("192.0.2.1", "")
    assert found.sentence == "192.0.2.1 was refused 3 times within 10 s"


def test_what_succeeded_is_no_refusal() -> None:
    events = [
        seen("ID001", outcome="I", at=after(n), actor_id="us_1") for n in range(9)
    ]
    assert judging.refused_bursts(events, events, FEW) == []


def test_suppressed_refusals_are_an_alarm_by_themselves() -> None:
    event = seen("AU010", details={"code": "GW013"}, sentence="So many were refused")
    (found,) = judging.event_findings([event], DEFAULTS)
    assert (found.rule, found.key) == (RuleId.REFUSED_BURST, "GW013")


def test_an_application_is_new_after_the_learning_time() -> None:
    known = {"us_1": {"ap_1": NOW - 14 * DAY}}
    (found,) = judging.new_applications([flow(application=PAYROLL)], known, DEFAULTS)
    assert (found.key, found.severity) == ("us_1 ap_2", Severity.NOTICE)
    assert found.sentence == "Alice reached payroll for the first time ever"


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({}, "nothing is known of them yet"),
        ({"us_1": {"ap_1": NOW - 13 * DAY}}, "they are learnt still"),
        ({"us_1": {"ap_1": NOW - 99 * DAY, "ap_2": NOW}}, "it is known"),
        ({"us_2": {"ap_1": NOW - 99 * DAY}}, "it is somebody else who is known"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_application_is_not_new(
    known: dict[str, dict[str, object]], why: str
) -> None:
    assert why
    flows = [flow(application=PAYROLL)]
    assert judging.new_applications(flows, known, DEFAULTS) == []  # type: ignore[arg-type]


def test_a_denied_application_was_not_reached() -> None:
    known = {"us_1": {"ap_1": NOW - 99 * DAY}}
    flows = [flow(application=PAYROLL, denied=True)]
    assert judging.new_applications(flows, known, DEFAULTS) == []


def test_a_new_application_is_found_once_in_a_batch() -> None:
    known = {"us_1": {"ap_1": NOW - 99 * DAY}}
    flows = [flow(after(n), application=PAYROLL) for n in range(3)]
    assert len(judging.new_applications(flows, known, DEFAULTS)) == 1


def test_a_device_wakes_after_so_many_days() -> None:
    (found,) = judging.dormant_wakes([flow()], {"dv_1": NOW - 30 * DAY}, DEFAULTS)
    assert found.sentence == "laptop of Alice is back after 30 days of silence"


@pytest.mark.parametrize("before", [None, NOW - 29 * DAY, NOW + DAY])
def test_a_device_that_was_seen_lately_or_never_does_not_wake(before: object) -> None:
    known = {} if before is None else {"dv_1": before}
    assert judging.dormant_wakes([flow()], known, DEFAULTS) == []  # type: ignore[arg-type]


def test_a_device_wakes_once_in_a_batch() -> None:
    flows = [flow(after(n)) for n in range(3)]
    known = {"dv_1": NOW - 99 * DAY}
    assert len(judging.dormant_wakes(flows, known, DEFAULTS)) == 1


def late(seconds: float, tuning: Tuning = DEFAULTS) -> object:
    asked = Evidence(kind="revocation", reference="7", at=NOW)
    return judging.late_revocation(
        key="rv_7 gw_1",
        revocation=asked,
        person=ALICE,
        gateway=GW1,
        tuning=tuning,
        now=after(seconds),
    )


def overdue(seconds: float, tuning: Tuning = DEFAULTS) -> object:
    return judging.overdue_checkpoint(
        log="control", sealed_at=NOW, tuning=tuning, now=after(seconds)
    )


def test_a_revocation_is_late_when_its_time_is_over() -> None:
    assert late(29) is None
    assert "gw1 did not confirm the revocation of Alice" in str(late(30))


def test_a_state_is_found_again_with_the_same_times() -> None:
    assert late(30) == late(3000)
    assert overdue(60) == overdue(6000)


def test_a_checkpoint_is_overdue_when_its_time_is_over() -> None:
    assert overdue(59) is None
    assert "control was not sealed for 60 s" in str(overdue(60))


def test_findings_of_one_thing_are_one_finding() -> None:
    first = finding(at=after(5), sentence="first", severity=Severity.ALERT)
    second = finding(at=after(9), sentence="second", severity=Severity.NOTICE)
    (found,) = folded([second, first])
    assert (found.count, found.sentence, found.severity) == (
        2,
        "second",
        Severity.ALERT,
    )
    assert (found.first_at, found.last_at) == (after(5), after(9))


def test_findings_of_two_things_stay_two() -> None:
    assert len(folded([finding(), finding(key="gw_2"), finding(RuleId.LOG_GAP)])) == 3
