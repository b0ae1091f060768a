"""The indexes of the search come and go with their migrations, and are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from audit.concurrently import AddIndexMeanwhile
from audit.models import AuditEvent, Connection
from audit.search.filters import Filter
from audit.search.finding import connections, events

WORDS = import_module("audit.migrations.0007_word_indexes")
FINGERPRINT = import_module("audit.migrations.0009_event_fingerprint_index")
INDEXES = import_module("audit.migrations.0006_search_indexes")


def names() -> set[str]:
    """Return the names of all indexes of both tables."""
    found: set[str] = set()
    with connection.cursor() as cursor:
        for model in (AuditEvent, Connection):
            table = model._meta.db_table
            found |= {*connection.introspection.get_constraints(cursor, table)}
    return found


@pytest.mark.django_db(transaction=True)
def test_an_index_that_is_built_meanwhile_comes_and_goes() -> None:
    loader = MigrationLoader(connection)
    before = loader.project_state(("audit", "0005_search_functions"))
    operations: list[AddIndexMeanwhile] = INDEXES.Migration.operations
    operation = operations[-1]
    after = before.clone()
    operation.state_forwards("audit", after)
    every = names()
    assert operation.index.name in every
    with connection.schema_editor(atomic=False) as editor:
        operation.database_backwards("audit", editor, after, before)
    assert names() == every - {operation.index.name}
    with connection.schema_editor(atomic=False) as editor:
        operation.database_forwards("audit", editor, before, after)
    assert names() == every


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("module", "add", "remove"),
    [
        (WORDS, "add_indexes", "remove_indexes"),
        (FINGERPRINT, "add_index", "remove_index"),
    ],
    ids=["words", "fingerprint"],
)
def test_the_indexes_of_postgresql_come_and_go(
    module: Any,  # noqa: ANN401 -- a migration
    add: str,
    remove: str,
) -> None:
    every = names()
    with connection.schema_editor(atomic=False) as editor:
        getattr(module, remove)(None, editor)
    without = names()
    with connection.schema_editor(atomic=False) as editor:
        getattr(module, add)(None, editor)
    assert names() == every
    assert (without < every) is (connection.vendor == "postgresql")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rows", "index"),
    [
        (connections(Filter(words="alice")), "audit_conn_words"),
        (events(Filter(words="alice")), "audit_event_words"),
        (events(Filter(key="ab")), "audit_event_fingerprint"),
        (connections(Filter(address="10.0.0.0/24")), "audit_conn_source"),
    ],
    ids=["words of connections", "words of events", "key", "prefix"],
)
def test_what_is_asked_is_what_the_index_holds(rows: Any, index: str) -> None:  # noqa: ANN401 -- of either log
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        assert index in rows.order_by().explain()
    else:
        assert not rows.exists()
