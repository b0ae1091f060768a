"""What PostgreSQL finds words by; each names the columns of `audit.search.words` in order."""

from django.db import migrations

CONNECTION = (
    *("person_label", "device_label", "application_label", "grant_label"),
    *("gateway_label", "end_reason"),
)
EVENT = (
    *("actor_label", "person_label", "device_label", "gateway_label"),
    *("application_label", "target_label", "reason", "code"),
)
INDEXES = (
    ("audit_conn_words", "audit_connection", CONNECTION),
    ("audit_event_words", "audit_auditevent", EVENT),
)


def add_indexes(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for name, table, columns in INDEXES:
        text = " || ' ' || ".join(columns)
        schema_editor.execute(
            f"CREATE INDEX CONCURRENTLY {name} ON {table} "
            f"USING gin (audit_words({text}))"
        )
        # Without statistics of the words the planner takes all for rare.
        schema_editor.execute(f"ANALYZE {table}")


def remove_indexes(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for name, _, _ in INDEXES:
            schema_editor.execute(f"DROP INDEX CONCURRENTLY {name}")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("audit", "0006_search_indexes")]
    operations = [migrations.RunPython(add_indexes, remove_indexes)]
