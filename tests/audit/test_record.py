"""`record` writes what happened, with the caller's change or not at all."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import transaction
from pytest_django import Settings

from audit import services
from audit.actor import Actor, ActorKind, Ref
from audit.errors import UndeclaredError
from audit.events import EventCode, Outcome
from audit.models import AuditEvent, Connection, FlowKind, Log
from audit.search.filters import Filter
from tests.audit.conftest import ALICE, GATEWAY, NOON, MakeFlow

pytestmark = pytest.mark.django_db


def test_event_copies_the_labels_of_its_parties(actor: Actor) -> None:
    device = Ref(id="dv_9", label="laptop")
    services.record(
        EventCode.DEVICE_REVOKE, actor=actor, now=NOON, person=ALICE, device=device
    )
    found = AuditEvent.objects.get()
    assert (found.person_label, found.device_label) == ("Alice", "laptop")
    assert (found.actor_label, str(found)) == ("tests", "DV012I")
    assert found.sentence == "laptop was revoked"


def test_event_rolls_back_with_its_change(actor: Actor) -> None:
    def change_and_fail() -> None:
        services.record(EventCode.USER_LOGIN, actor=actor, now=NOON)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        transaction.atomic(change_and_fail)()
    assert not AuditEvent.objects.exists()


def test_what_the_catalogue_does_not_declare_is_an_error_in_development(
    actor: Actor,
) -> None:
    with pytest.raises(UndeclaredError, match="'token' must never be recorded"):
        services.record(
            EventCode.USER_LOGIN, actor=actor, now=NOON, details={"token": "hunter2"}
        )
    assert not AuditEvent.objects.exists()


def test_in_operation_the_event_is_written_without_the_secret(
    actor: Actor, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PEERAGE_STRICT_EVENTS = False
    services.record(
        EventCode.USER_LOGIN,
        actor=actor,
        now=NOON,
        details={"token": "hunter2", "hue": "red"},
    )
    found = AuditEvent.objects.get()
    assert found.details == {"token": "[withheld]", "hue": "red"}
    assert "'token' must never be recorded" in caplog.text
    assert "hunter2" not in caplog.text


def test_control_characters_cannot_keep_an_event_from_being_written(
    settings: Settings,
) -> None:
    settings.PEERAGE_STRICT_EVENTS = False
    hostile = "x\x00\r\n\x1b[2J\u202ey\ud800"
    services.record(
        EventCode.USER_LOGIN,
        actor=Actor(kind=ActorKind.USER, id=hostile, label=hostile, address=hostile),
        now=NOON,
        outcome=Outcome.REFUSED,
        target=Ref(id=hostile, label=hostile),
        reason=hostile,
        details={hostile: [hostile, 1, None, True], "in": {"side": hostile}},
    )
    found = AuditEvent.objects.get()
    seen = r"x\x00\x0d\x0a\x1b[2J\u202ey\ud800"
    assert {found.actor_label, found.target_label, found.reason} == {seen}
    assert found.details == {seen: [seen, 1, None, True], "in": {"side": seen}}


def test_long_labels_are_cut_not_refused(actor: Actor) -> None:
    person = Ref(id="us_1", label="a" * 400)
    services.record(EventCode.USER_LOGIN, actor=actor, now=NOON, person=person)
    assert AuditEvent.objects.get().person_label == "a" * 255


@pytest.mark.parametrize(
    ("export_format", "code", "details"),
    [
        ("", "AU001", {"log": "connections", "filter": {"person": "us_1"}}),
        (
            "csv",
            "AU002",
            {"log": "connections", "filter": {"person": "us_1"}, "format": "csv"},
        ),
    ],
    ids=["read", "export"],
)
def test_reading_the_log_is_recorded(
    actor: Actor, export_format: str, code: str, details: dict[str, object]
) -> None:
    services.record_query(
        log=Log.CONNECTIONS,
        filters=Filter(person="us_1"),
        actor=actor,
        now=NOON,
        export_format=export_format,
    )
    found = AuditEvent.objects.get()
    assert (found.code, found.details) == (code, details)


def test_connections_can_be_rebuilt_by_command(
    make_flow: MakeFlow, capsys: pytest.CaptureFixture[str]
) -> None:
    services.record_flows(
        gateway=GATEWAY, flows=[make_flow(FlowKind.OPEN, 1)], now=NOON
    )
    Connection.objects.all().delete()
    call_command("rebuild_connections")
    assert capsys.readouterr().out == "1 connections\n"
    assert Connection.objects.get().person_id == "us_1"
