"""The receipt of a connection: the page that explains it, and the file."""

from __future__ import annotations

import pytest
from django.test import Client

from audit import services
from audit.actor import Actor, Ref
from audit.events import EventCode
from audit.models import AuditEvent, Connection, FlowKind, Log
from audit.receipts import check_receipt
from audit.tlog.report import Report
from portal.accounts.models import User
from tests.audit.conftest import GATEWAY, NOON, MakeFlow
from tests.audit.conftest import make_flow as make_flow  # noqa: PLC0414 -- a fixture
from tests.audit.small_sealer import policy, seal
from tests.conftest import SignIn

pytestmark = pytest.mark.django_db
DEVICE = Ref(id="dv_9", label="laptop")


@pytest.fixture
def connection(alice: User, actor: Actor, make_flow: MakeFlow) -> Connection:
    """Alice signed in, enrolled a laptop and reached something; nothing is sealed."""
    sign_in = services.record(
        EventCode.USER_LOGIN, actor=actor, now=NOON, person=alice.ref
    )
    for code, details in (
        (EventCode.DEVICE_ENROLL_COMPLETE, {"sign_in": str(sign_in.uid)}),
        (EventCode.KEY_REGISTERED, {"fingerprint": "ab" * 8}),
    ):
        services.record(
            code,
            actor=actor,
            now=NOON,
            person=alice.ref,
            device=DEVICE,
            details=details,
        )
    flow = make_flow(FlowKind.OPEN, 1, person=alice.ref)
    services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)
    return Connection.objects.get()


def sealed() -> None:
    for log in Log:
        seal(log, NOON)


def address(connection: Connection, rest: str = "") -> str:
    return f"/audit/connections/{connection.pk}/receipt/{rest}"


def test_auditor_downloads_a_receipt_that_verifies(
    connection: Connection, carol: User, sign_in: SignIn
) -> None:
    sealed()
    answer = sign_in(carol).get(address(connection, "download/?names=1"))
    assert answer.status_code == 200
    assert "attachment" in answer["Content-Disposition"]
    report = Report()
    check_receipt(answer.content.decode(), policy(), report)
    assert report.faults == []
    assert len(report.facts["steps"]) == 4


def test_receipt_without_names_names_nobody(
    connection: Connection, alice: User, carol: User, sign_in: SignIn
) -> None:
    sealed()
    answer = sign_in(carol).get(address(connection, "download/"))
    assert alice.ref.label not in answer.content.decode()


def test_taking_a_receipt_is_recorded(
    connection: Connection, carol: User, sign_in: SignIn
) -> None:
    sealed()
    sign_in(carol).get(address(connection, "download/"))
    event = AuditEvent.objects.filter(code=EventCode.AUDIT_EXPORT).latest("id")
    assert (event.details["format"], event.actor_id) == ("receipt", carol.ref.id)


def test_page_shows_each_step_with_its_place(
    connection: Connection, carol: User, sign_in: SignIn
) -> None:
    sealed()
    text = sign_in(carol).get(address(connection)).content.decode()
    assert "The sign-in of its owner before that" in text
    assert "Download with names" in text
    assert "not sealed yet" not in text


def test_page_says_that_nothing_was_ever_sealed(
    connection: Connection, carol: User, sign_in: SignIn
) -> None:
    text = sign_in(carol).get(address(connection)).content.decode()
    assert "the sealer does not run" in text
    assert "Download" not in text


def test_page_says_that_it_will_be_sealed_in_a_moment(
    connection: Connection, carol: User, sign_in: SignIn
) -> None:
    seal(Log.CONTROL, NOON)
    text = sign_in(carol).get(address(connection)).content.decode()
    assert "sealed within a few seconds" in text
    assert "Download" not in text


def test_what_is_not_sealed_has_no_receipt_yet(
    connection: Connection, carol: User, sign_in: SignIn
) -> None:
    assert sign_in(carol).get(address(connection, "download/")).status_code == 409


def test_connection_without_events_is_shown_as_invented(
    connection: Connection, carol: User, sign_in: SignIn
) -> None:
    sealed()
    connection.pk, connection.flow = None, "f9"
    connection.save(force_insert=True)
    browser = sign_in(carol)
    text = browser.get(address(connection)).content.decode()
    assert "Somebody may have invented it" in text
    assert browser.get(address(connection, "download/")).status_code == 409


def test_employee_sees_no_receipt(
    connection: Connection, alice: User, sign_in: SignIn
) -> None:
    browser: Client = sign_in(alice)
    for rest in ("", "download/"):
        assert browser.get(address(connection, rest)).status_code == 403
