"""Triggers that refuse to change an event, whoever asks.

PostgreSQL refuses UPDATE and DELETE. SQLite refuses UPDATE only: Django's `flush`,
which ends every test with real transactions, empties SQLite's tables by DELETE (on
PostgreSQL by TRUNCATE, which row triggers do not see), and a trigger that tests
must switch off would not be the one that ships. SQLite is the small default, where
one program opens the file and its querysets refuse deletion.

Django rebuilds a table on SQLite to alter a field and so loses its triggers: a later
migration that does so must add them again, and a test looks that they are there.
"""

from django.db import migrations

TABLES = ("audit_auditevent", "audit_flowevent")


def add_triggers(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            """
            CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger
            LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION USING
                    MESSAGE = TG_TABLE_NAME || ' is append-only',
                    ERRCODE = 'restrict_violation';
            END
            $$
            """
        )
        for table in TABLES:
            schema_editor.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE "
                f"ON {table} FOR EACH ROW EXECUTE FUNCTION audit_refuse_change()"
            )
    else:
        for table in TABLES:
            schema_editor.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def remove_triggers(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in TABLES:
            schema_editor.execute(f"DROP TRIGGER {table}_append_only ON {table}")
        schema_editor.execute("DROP FUNCTION audit_refuse_change()")
    else:
        for table in TABLES:
            schema_editor.execute(f"DROP TRIGGER {table}_append_only")


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunPython(add_triggers, remove_triggers)]
