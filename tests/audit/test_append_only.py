"""No event is ever changed or removed, neither by code nor past it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from audit import services
from audit.actor import Actor, ActorKind, Ref
from audit.errors import AppendOnlyError
from audit.events import EventCode
from audit.models import AuditEvent, FlowEvent, FlowKind, IdentitySalt
from tests.audit.conftest import GATEWAY, NOON, MakeFlow

TABLES = ["audit_auditevent", "audit_flowevent"]
EDIT, REMOVAL = "UPDATE {} SET id = id + 1000", "DELETE FROM {}"
# The migration says why SQLite lets rows be deleted.
REFUSED = {"postgresql": [EDIT, REMOVAL], "sqlite": [EDIT]}
CHANGES: dict[str, Callable[[Any, Any], object]] = {
    "update": lambda model, row: model.objects.filter(pk=row.pk).update(at=NOON),
    "delete": lambda model, row: model.objects.filter(pk=row.pk).delete(),
    "bulk_update": lambda model, row: model.objects.bulk_update([row], ["at"]),
    "upsert": lambda model, row: model.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["id"], update_fields=["at"]
    ),
    "save": lambda _model, row: row.save(),
    "save_columns": lambda _model, row: row.save(update_fields=["at"]),
    "save_same_key": lambda model, row: model(pk=row.pk, at=NOON).save(),
    "delete_row": lambda _model, row: row.delete(),
}


@pytest.fixture
def logs(db: None, actor: Actor, make_flow: MakeFlow) -> None:
    """One event in each log."""
    services.record(EventCode.USER_LOGIN, actor=actor, now=NOON)
    flow = make_flow(FlowKind.OPEN, 1)
    services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)


def run(sql: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("model", [AuditEvent, FlowEvent])
@pytest.mark.parametrize("change", CHANGES)
def test_code_cannot_change_an_event(
    model: type[AuditEvent | FlowEvent], change: str
) -> None:
    before = list(model.objects.values())
    with pytest.raises((AppendOnlyError, IntegrityError)), transaction.atomic():
        CHANGES[change](model, model.objects.get())
    assert list(model.objects.values()) == before


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", REFUSED[connection.vendor])
def test_the_database_refuses_to_change_an_event(table: str, statement: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"):
        run(statement.format(table))


NOTHING = "'{}'"
FORGETTING = {
    "their own labels": "audit_auditevent SET actor_label = '', actor_address = ''"
    " WHERE actor_id = 'us_1'",
    "what is said of them": "audit_auditevent SET person_label = '', reason = '',"
    f" device_label = '', details = {NOTHING} WHERE person_id = 'us_1'",
    "them as a target": "audit_auditevent SET target_label = ''"
    " WHERE target_id = 'us_1'",
}
NOT_FORGETTING = {
    "another name": "audit_auditevent SET person_label = 'Bob'",
    "another id": "audit_auditevent SET person_id = ''",
    "another code": "audit_auditevent SET code = 'AU001'",
    "another time": "audit_auditevent SET at = received_at",
    "another leaf": "audit_auditevent SET leaf = NULL",
    "another outcome beside it": "audit_auditevent SET outcome = 'W', reason = ''",
    "more details": """audit_auditevent SET details = '{"more": 1}'""",
    "other details": """audit_auditevent SET details = '{"sub": "x"}'""",
    "names of things": "audit_auditevent SET gateway_label = 'x'",
    "flow of others": "audit_flowevent SET attribution = '{}'",
    "another flow": "audit_flowevent SET kind = 'deny'",
    "a salt that comes back": "audit_identitysalt SET salt = leaf FROM audit_auditevent"
    " WHERE salt IS NULL",
    "another's salt": "audit_identitysalt SET person_id = 'us_9'",
}
OTHERS = {
    "label": "audit_auditevent SET person_label = '' WHERE person_id = 'us_2'",
    "reason": "audit_auditevent SET reason = '' WHERE person_id = 'us_2'",
    "details": f"audit_auditevent SET details = {NOTHING} WHERE person_id = 'us_2'",
    "target": "audit_auditevent SET target_label = '' WHERE target_id = 'us_2'",
    "flow": "audit_flowevent SET attribution = '{}'",
}


@pytest.fixture
def told(logs: None, actor: Actor) -> None:
    """Events of two people; of one the salt is gone."""
    for person in ("us_1", "us_2"):
        services.record(
            EventCode.USER_LOGIN,
            actor=replace(actor, id="us_1", kind=ActorKind.USER, label="Alice"),
            now=NOON,
            person=Ref(id=person, label=person.title()),
            device=Ref(id="dv_1", label="laptop"),
            target=Ref(id=person, label=person.title()),
            reason="because",
            details={"sub": person, "amr": ["otp"]},
        )


def forget(person: str) -> None:
    gone = IdentitySalt.objects.filter(person_id=person)
    assert gone.update(salt=None, forgotten_at=NOON) == 1


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("statement", FORGETTING)
def test_only_who_was_forgotten_may_be_blanked(statement: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"):
        run(f"UPDATE {FORGETTING[statement]}")
    forget("us_1")
    run(f"UPDATE {FORGETTING[statement]}")


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("statement", OTHERS)
def test_others_are_not_blanked_with_them(statement: str) -> None:
    forget("us_1")
    before = list(AuditEvent.objects.values()), list(FlowEvent.objects.values())
    with pytest.raises(IntegrityError, match="append-only"):
        run(f"UPDATE {OTHERS[statement]}")
    assert (list(AuditEvent.objects.values()), list(FlowEvent.objects.values())) == (
        before
    )


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("statement", NOT_FORGETTING)
def test_nothing_but_blanking_is_allowed(statement: str) -> None:
    forget("us_1")
    sql = NOT_FORGETTING[statement].replace("received_at", "'2020-01-01 00:00:00'")
    with pytest.raises(IntegrityError, match="append-only"):
        run(f"UPDATE {sql}")


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("statement", REFUSED[connection.vendor])
@pytest.mark.parametrize("table", TABLES)
def test_forgetting_opens_no_other_way(table: str, statement: str) -> None:
    for person in ("us_1", "us_2"):
        forget(person)
    with pytest.raises(IntegrityError, match="append-only"):
        run(statement.format(table))


@pytest.mark.usefixtures("told")
def test_flow_of_somebody_forgotten_loses_labels_and_no_more() -> None:
    forget("us_1")
    before = FlowEvent.objects.values().get()
    without = {
        name: value
        for name, value in before["attribution"].items()
        if name not in {"person_label", "device_label", "grant_label"}
    }
    with pytest.raises(IntegrityError, match="append-only"):
        run("UPDATE audit_flowevent SET attribution = '{}'")
    text = json.dumps(without)
    run("UPDATE audit_flowevent SET attribution = '{}'".replace("{}", text))
    assert FlowEvent.objects.values().get() == {**before, "attribution": without}


@pytest.mark.django_db(transaction=True)
def test_the_triggers_come_and_go_with_their_migration(actor: Actor) -> None:
    services.record(EventCode.USER_LOGIN, actor=actor, now=NOON)
    try:
        MigrationExecutor(connection).migrate([("audit", "0001_initial")])
        run("UPDATE audit_auditevent SET reason = 'edited'")
    finally:
        # To the newest, or every later test of this process lacks a table.
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes("audit"))
    with pytest.raises(IntegrityError, match="append-only"):
        run("UPDATE audit_auditevent SET reason = 'again'")
