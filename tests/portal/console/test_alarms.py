"""Pages of alarms: the inbox, the evidence, and acts that leave their event."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from audit.actor import SYSTEM
from audit.alarms import watching
from audit.alarms.findings import Evidence
from audit.alarms.models import Alarm, AlarmVerdict
from audit.alarms.rules import RULES, RuleId
from audit.alarms.services import close_alarm, raise_findings
from audit.events import EventCode
from audit.models import AuditEvent, Connection
from portal.accounts.models import User
from tests.audit.alarms.makers import NOW, connections, event, finding
from tests.conftest import SignIn

pytestmark = pytest.mark.django_db
LIST = "/audit/alarms/"


@pytest.fixture
def drift() -> Alarm:
    """A gateway was changed by hand; the event is the evidence."""
    written = event(EventCode.GATEWAY_DRIFT)
    proof = Evidence(kind="event", reference=str(written.uid), at=NOW)
    (opened,) = raise_findings([finding(evidence=(proof,))], now=NOW)
    return opened


def test_an_empty_inbox_says_what_is_watched_and_when(
    carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    assert "Nothing has been looked at yet" in browser.get(LIST).content.decode()
    watching.watch_events(now=NOW)
    page = browser.get(LIST).content.decode()
    assert "handshakes are watched" in page
    assert page.count("2026-11-23 12:00") == 2


def test_an_auditor_reads_and_finds_no_button(
    drift: Alarm, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    assert drift.sentence in browser.get(LIST).content.decode()
    page = browser.get(f"{LIST}{drift.pk}/").content.decode()
    for act in ("acknowledge/", "assign/", "verdict/"):
        assert act not in page


def test_the_alarm_shows_its_evidence_and_what_to_do(
    drift: Alarm, carol: User, sign_in: SignIn
) -> None:
    page = sign_in(carol).get(f"{LIST}{drift.pk}/").content.decode()
    uid = drift.evidence.get().reference
    assert f"/audit/events/{uid}/" in page
    assert RULES[RuleId.DRIFT].runbook in page
    assert f"/audit/events/?gateway={drift.gateway_id}" in page
    assert AuditEvent.objects.get(code="AU001").target_id == drift.ref.id


def test_connections_are_evidence_that_can_be_opened(
    carol: User, sign_in: SignIn, settings: Settings
) -> None:
    settings.PEERAGE_ALARM_PARAMETERS = {"DENIED_COUNT": 2}
    watching.watch_flows(now=NOW)
    connections(NOW, NOW + timedelta(seconds=1), denied=True)
    watching.watch_flows(now=NOW)
    alarm = Alarm.objects.get()
    page = sign_in(carol).get(f"{LIST}{alarm.pk}/").content.decode()
    for row in Connection.objects.all():
        assert f"/audit/connections/{row.pk}/" in page


def test_evidence_that_is_gone_is_said_to_be(carol: User, sign_in: SignIn) -> None:
    proof = Evidence(kind="connection", reference="gw_1/gone", at=NOW, text="a → b")
    (alarm,) = raise_findings([finding(evidence=(proof,))], now=NOW)
    page = sign_in(carol).get(f"{LIST}{alarm.pk}/").content.decode()
    assert "no longer in the log" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["open", "mine"]),
        ("state=closed", ["closed"]),
        ("state=all", ["open", "mine", "closed"]),
        ("severity=3", ["open"]),
        ("rule=new-application", ["mine"]),
        ("mine=1", ["mine"]),
        ("state=nonsense&severity=9", ["open", "mine"]),
    ],
)
def test_the_filter_finds(
    query: str, found: list[str], carol: User, sign_in: SignIn
) -> None:
    raise_findings(
        [
            finding(sentence="alarm open"),
            finding(RuleId.NEW_APPLICATION, key="b", sentence="alarm mine"),
            finding(RuleId.LOG_GAP, sentence="alarm closed"),
        ],
        now=NOW,
    )
    Alarm.objects.filter(sentence="alarm mine").update(assignee_id=carol.ref.id)
    close_alarm(
        alarm=Alarm.objects.get(sentence="alarm closed"),
        verdict=AlarmVerdict.TRUE,
        note="x",
        actor=SYSTEM,
        now=NOW,
    )
    page = sign_in(carol).get(f"{LIST}?{query}").content.decode()
    shown = [name for name in ("open", "mine", "closed") if f"alarm {name}<" in page]
    assert shown == found


def test_an_administrator_acknowledges_assigns_and_judges(
    drift: Alarm, dave: User, sign_in: SignIn
) -> None:
    browser, url = sign_in(dave), f"{LIST}{drift.pk}/"
    assert browser.post(f"{url}acknowledge/")["Location"] == url
    assert browser.post(f"{url}assign/", {"assignee": dave.pk})["Location"] == url
    judged = browser.post(f"{url}verdict/", {"verdict": "benign", "note": "drill"})
    assert judged["Location"] == url
    drift.refresh_from_db()
    assert (drift.state, drift.assignee_id) == ("closed", dave.ref.id)
    assert (drift.verdict, drift.note) == ("benign", "drill")
    events = AuditEvent.objects.filter(code__startswith="AL", actor_id=dave.ref.id)
    assert sorted(row.code for row in events) == ["AL002", "AL003", "AL004"]


def test_an_alarm_is_assigned_to_those_alone_who_can_open_it(
    drift: Alarm, dave: User, alice: User, sign_in: SignIn
) -> None:
    url = f"{LIST}{drift.pk}/assign/"
    page = sign_in(dave).post(url, {"assignee": alice.pk})
    assert page.status_code == 200
    drift.refresh_from_db()
    assert drift.assignee_id == ""
    assert AuditEvent.objects.get(code="AL003").outcome == "W"


@pytest.mark.parametrize(
    "sent", [{}, {"verdict": "true"}, {"note": "x"}, {"verdict": "maybe", "note": "x"}]
)
def test_a_verdict_without_its_parts_changes_nothing(
    sent: dict[str, str], drift: Alarm, dave: User, sign_in: SignIn
) -> None:
    page = sign_in(dave).post(f"{LIST}{drift.pk}/verdict/", sent)
    assert page.status_code == 200
    drift.refresh_from_db()
    assert drift.state == "open"


def test_a_verdict_needs_a_recent_proof(
    drift: Alarm, dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave, age=timedelta(hours=2))
    answer = browser.post(
        f"{LIST}{drift.pk}/verdict/", {"verdict": "true", "note": "x"}
    )
    assert answer["Location"].startswith("/accounts/confirm/")


def test_acknowledging_a_closed_alarm_says_so(
    drift: Alarm, dave: User, sign_in: SignIn
) -> None:
    close_alarm(alarm=drift, verdict=AlarmVerdict.TRUE, note="x", actor=SYSTEM, now=NOW)
    browser = sign_in(dave)
    for act in ("acknowledge/", "assign/"):
        page = browser.post(f"{LIST}{drift.pk}/{act}", follow=True)
        assert "this alarm is closed" in page.content.decode()


def test_what_is_not_there_is_404(dave: User, sign_in: SignIn) -> None:
    browser = sign_in(dave)
    for path in ("999/", "999/verdict/", "channels/999/", "channels/999/edit/"):
        assert browser.get(LIST + path).status_code == 404


def test_the_menu_asks_how_many_are_open(
    drift: Alarm, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    assert f'data-count="{LIST}count/"' in browser.get("/devices/").content.decode()
    answer = browser.get(f"{LIST}count/")
    assert answer.json() == {"open": 1}
    assert "no-store" in answer["Cache-Control"]


def test_an_employees_menu_does_not_ask(alice: User, sign_in: SignIn) -> None:
    assert "data-count" not in sign_in(alice).get("/devices/").content.decode()


def test_the_rules_page_shows_settings_and_precision(
    carol: User, sign_in: SignIn, settings: Settings
) -> None:
    settings.PEERAGE_ALARM_PARAMETERS = {"DENIED_COUNT": 77}
    settings.PEERAGE_ALARM_RULES_OFF = ["log-gap"]
    for number, verdict in enumerate(("true", "true", "false"), 1):
        (opened,) = raise_findings([finding(key=f"gw_{number}")], now=NOW)
        close_alarm(
            alarm=opened,
            verdict=AlarmVerdict(verdict),
            note="x",
            actor=SYSTEM,
            now=NOW,
        )
    page = sign_in(carol).get(f"{LIST}rules/").content.decode()
    assert "67 %" in page
    assert "<strong>77</strong> denied connections" in page
    assert page.count("switched off") == 1
    for rule in RULES.values():
        assert rule.title in page


@pytest.mark.parametrize(
    ("path", "number"), [("", 5), ("rules/", 3)], ids=["inbox", "rules"]
)
def test_listing_takes_a_fixed_number_of_queries(
    path: str,
    number: int,
    carol: User,
    sign_in: SignIn,
    clock: datetime,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    browser = sign_in(carol)
    for key in "ab":
        raise_findings([finding(key=key)], now=clock)
        with django_assert_num_queries(number):
            browser.get(LIST + path)


def test_the_alarm_page_takes_a_fixed_number_of_queries(
    carol: User, sign_in: SignIn, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    browser = sign_in(carol)
    proofs = [
        Evidence(
            kind="event", reference=str(event(EventCode.GATEWAY_DRIFT).uid), at=NOW
        )
        for _ in range(5)
    ]
    counts = []
    raise_findings([finding(evidence=tuple(proofs[:1]))], now=NOW)
    url = f"{LIST}{Alarm.objects.get().pk}/"
    # The first reading makes the salt of whoever reads, which is remembered.
    browser.get(url)
    for end in (1, 5):
        raise_findings([finding(evidence=tuple(proofs[:end]))], now=NOW)
        with django_assert_num_queries(8) as queries:
            browser.get(url)
        counts.append(len(queries))
    assert counts[0] == counts[1]
