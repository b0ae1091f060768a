"""Writing into the database as its owner can: past Django, with no trigger on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db import connection as database
from django.db import models, transaction


@contextmanager
def undone() -> Iterator[None]:
    """Take back what happens inside, and leave no trigger on meanwhile."""
    with transaction.atomic():
        with database.cursor() as cursor:
            if database.vendor == "postgresql":
                cursor.execute("SET LOCAL session_replication_role = replica")
            else:
                cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                for (name,) in cursor.fetchall():
                    cursor.execute(f'DROP TRIGGER "{name}"')
        yield
        transaction.set_rollback(True)


def execute(text: str, *values: Any, **names: str) -> None:  # noqa: ANN401 -- of any column
    """Run one statement past Django's models; `names` are of tables and columns."""
    quoted = {name: database.ops.quote_name(value) for name, value in names.items()}
    with database.cursor() as cursor:
        cursor.execute(text.format(**quoted), values)


def any_row(model: type[Any], chance: random.Random, **where: object) -> Any:  # noqa: ANN401 -- a row of any table
    """Return one row by chance."""
    return chance.choice(list(model.objects.filter(**where).order_by("pk")))


def change(row: models.Model, column: str, chance: random.Random) -> None:
    """Give a column another value of its own kind."""
    match getattr(row, column):
        case str() as text:
            place = chance.randrange(len(text) + 1)
            new: object = f"{text[:place]}{chance.choice('XYZ')}{text[place:]}"
            field: Any = row._meta.get_field(column)
            if field.max_length and len(str(new)) > field.max_length:
                new = "?" if text != "?" else "!"
        case int() as number:
            # Far enough from what is there: a unique number would be refused.
            new = number + chance.randrange(10**6, 10**7)
        case None:
            new = 1
        case bytes() | memoryview() as data:
            changed = bytearray(data)
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            new = bytes(changed)
        case dict() as found:
            new = {**found, "added": chance.randrange(10**6)}
        case moment:
            new = moment + timedelta(microseconds=chance.randrange(1, 10**12))
    set_value(row, column, new)


def set_value(row: models.Model, column: str, value: object) -> None:
    """Write a value into a column."""
    field: Any = row._meta.get_field(column)
    execute(
        "UPDATE {table} SET {column} = %s WHERE {key} = %s",
        field.get_db_prep_save(value, database),
        row.pk,
        **_names(row),
        column=field.column,
    )


def delete(row: models.Model) -> None:
    """Delete a row."""
    execute("DELETE FROM {table} WHERE {key} = %s", row.pk, **_names(row))


def _names(row: models.Model) -> dict[str, str]:
    key: Any = row._meta.pk
    return {"table": row._meta.db_table, "key": key.column}
