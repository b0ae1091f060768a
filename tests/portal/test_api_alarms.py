"""The API's alarms: for readers, and for programs with the scope; nothing changes."""

from __future__ import annotations

import pytest
from django.test import Client

from audit.alarms.findings import Evidence
from audit.alarms.models import Alarm
from audit.alarms.rules import RuleId
from audit.alarms.services import raise_findings
from audit.models import AuditEvent
from portal.accounts.models import Role, Scope, User
from tests.audit.alarms.makers import NOW, finding
from tests.conftest import SignIn
from tests.portal.credentials import MakeKey, make_key, with_key, with_token

__all__ = ["make_key"]
pytestmark = pytest.mark.django_db
URL = "/api/v1/alarms/"


@pytest.fixture
def drift() -> Alarm:
    """An alarm with evidence."""
    proof = Evidence(kind="event", reference="e-1", at=NOW, text="It happened")
    (opened,) = raise_findings([finding(evidence=(proof,))], now=NOW)
    return opened


@pytest.mark.parametrize("show", [with_key, with_token], ids=["key", "bearer"])
def test_a_program_reads_what_is_open(
    show: object, drift: Alarm, dave: User, make_key: MakeKey
) -> None:
    _, secret = make_key(dave, Scope.ALARMS_READ)
    program: Client = show(secret)  # type: ignore[operator]
    (row,) = program.get(URL).json()["rows"]
    assert (row["id"], row["rule"], row["severity"]) == (drift.pk, "drift", "alert")
    one = program.get(f"{URL}{drift.pk}/").json()
    assert one["gateway"] == {"id": "gw_1", "label": "gw1"}
    assert one["evidence"][0]["reference"] == "e-1"
    read = AuditEvent.objects.get(code="AU001")
    assert (read.target_id, read.actor_kind) == (drift.ref.id, "credential")


def test_a_program_without_the_scope_is_refused(
    drift: Alarm, dave: User, make_key: MakeKey
) -> None:
    _, secret = make_key(dave, Scope.POLICY_WRITE)
    for url in (URL, f"{URL}{drift.pk}/"):
        assert with_key(secret).get(url).status_code == 403
    assert AuditEvent.objects.filter(code="ID015", outcome="W").count() == 2


def test_a_credential_is_worth_no_more_than_its_creator(
    drift: Alarm, dave: User, make_key: MakeKey
) -> None:
    _, secret = make_key(dave, Scope.ALARMS_READ)
    User.objects.filter(pk=dave.pk).update(role=Role.EMPLOYEE)
    assert with_key(secret).get(URL).status_code == 401


def test_auditors_read_in_their_browser(
    drift: Alarm, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    assert len(browser.get(URL).json()["rows"]) == 1
    assert browser.get(f"{URL}{drift.pk}/").status_code == 200
    assert browser.get(f"{URL}999/").status_code == 404


def test_others_read_nothing(drift: Alarm, mallory: User, sign_in: SignIn) -> None:
    for url in (URL, f"{URL}{drift.pk}/"):
        assert sign_in(mallory).get(url).status_code == 403
        assert Client().get(url).status_code in {401, 403}
        assert with_key("nonsense").get(url).status_code == 401


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_can_be_changed(
    method: str, drift: Alarm, dave: User, make_key: MakeKey
) -> None:
    _, secret = make_key(dave, *Scope)
    for url in (URL, f"{URL}{drift.pk}/"):
        assert getattr(with_key(secret), method)(url).status_code in {403, 405}
    drift.refresh_from_db()
    assert drift.state == "open"


@pytest.mark.parametrize(
    "query", ["state=x", "severity=9", "rule=x", "before=x", "before=²", "page=2"]
)
def test_a_question_that_cannot_be_read_is_refused(
    query: str, carol: User, sign_in: SignIn
) -> None:
    assert sign_in(carol).get(f"{URL}?{query}").status_code == 400


def test_pages_go_on_below_an_id(
    carol: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.api_alarms.PAGE", 2)
    raise_findings([finding(key=f"gw_{n}") for n in range(5)], now=NOW)
    browser, seen, before = sign_in(carol), [], ""
    while True:
        answer = browser.get(f"{URL}?before={before}").json()
        seen += [row["id"] for row in answer["rows"]]
        if answer["before"] is None:
            break
        before = answer["before"]
    assert seen == sorted(Alarm.objects.values_list("pk", flat=True), reverse=True)


def test_filters_are_those_of_the_page(
    drift: Alarm, carol: User, sign_in: SignIn
) -> None:
    raise_findings([finding(RuleId.NEW_APPLICATION, key="b")], now=NOW)
    rows = sign_in(carol).get(f"{URL}?severity=3").json()["rows"]
    assert [row["rule"] for row in rows] == ["drift"]
