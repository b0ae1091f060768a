"""No event is ever changed or removed, neither by code nor past it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from audit import services
from audit.actor import Actor
from audit.errors import AppendOnlyError
from audit.events import EventCode
from audit.models import AuditEvent, FlowEvent, FlowKind
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
