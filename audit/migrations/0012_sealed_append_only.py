"""Triggers that refuse to change what was sealed, as `0002_append_only` has them.

On SQLite as there: UPDATE only, because Django's `flush` deletes.
"""

from django.db import migrations

TABLES = (
    "audit_sealedleaf",
    "audit_sealedtile",
    "audit_sealedcheckpoint",
    "audit_cosignature",
)


def add_triggers(apps, schema_editor):
    for table in TABLES:
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE "
                f"ON {table} FOR EACH ROW EXECUTE FUNCTION audit_refuse_change()"
            )
        else:
            schema_editor.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def remove_triggers(apps, schema_editor):
    for table in TABLES:
        on = f" ON {table}" if schema_editor.connection.vendor == "postgresql" else ""
        schema_editor.execute(f"DROP TRIGGER {table}_append_only{on}")


class Migration(migrations.Migration):
    dependencies = [("audit", "0011_outbox")]
    operations = [migrations.RunPython(add_triggers, remove_triggers)]
