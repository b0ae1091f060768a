"""What PostgreSQL finds the events of a key by; most events name none."""

from django.db import migrations


def add_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE INDEX CONCURRENTLY audit_event_fingerprint ON audit_auditevent"
            " ((details -> 'fingerprint'), id)"
            " WHERE (details -> 'fingerprint') IS NOT NULL"
        )


def remove_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX CONCURRENTLY audit_event_fingerprint")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("audit", "0008_saved_searches")]
    operations = [migrations.RunPython(add_index, remove_index)]
