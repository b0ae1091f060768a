"""Events that exist get their leaf, and every event enters the outbox by a trigger.

What is appended by any hand, also past Django, is sealed; an event without its leaf
is refused. The salt of each person who is named is made first. Leaves of this
migration are of shape 1 and never change, so they are made by the code of today.
"""

import secrets

from django.db import migrations

from audit.leaves import event_row, event_shape, flow_row, flow_shape

TABLES = {"audit_auditevent": "control", "audit_flowevent": "connections"}
PART = 500


def add_leaves(apps, schema_editor):
    salt_model = apps.get_model("audit", "IdentitySalt")
    outbox = apps.get_model("audit", "Outbox")
    for name, log, shape_of in (
        ("AuditEvent", "control", lambda e: event_shape(event_row(e))),
        ("FlowEvent", "connections", lambda e: flow_shape(flow_row(e))),
    ):
        model = apps.get_model("audit", name)
        last = 0
        while events := list(model.objects.filter(id__gt=last).order_by("id")[:PART]):
            last = events[-1].id
            for event in events:
                event.nonce = secrets.token_bytes(16)
            shapes = [shape_of(event) for event in events]
            people = frozenset().union(*(shape.persons for shape in shapes))
            known = salt_model.objects.in_bulk(sorted(people))
            made = [
                salt_model(person_id=person, salt=secrets.token_bytes(32))
                for person in sorted(people - known.keys())
            ]
            salt_model.objects.bulk_create(made)
            known |= {row.person_id: row for row in made}
            salts = {person: bytes(row.salt) for person, row in known.items()}
            for event, shape in zip(events, shapes, strict=True):
                event.leaf = shape.leaf(salts)
            model.objects.bulk_update(events, ["nonce", "leaf"])
            outbox.objects.bulk_create(
                outbox(log=log, event_id=event.id) for event in events
            )


def remove_leaves(apps, schema_editor):
    """The columns go with the migration before this one."""


def lift_guards(apps, schema_editor):
    """Let this migration alone fill in what old rows lack."""
    for table in TABLES:
        on = f" ON {table}" if schema_editor.connection.vendor == "postgresql" else ""
        schema_editor.execute(f"DROP TRIGGER {table}_append_only{on}")


def set_guards(apps, schema_editor):
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


def add_outbox(apps, schema_editor):
    for table, log in TABLES.items():
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(
                f"""
                CREATE FUNCTION {table}_to_outbox() RETURNS trigger
                LANGUAGE plpgsql AS $$
                BEGIN
                    IF NEW.leaf IS NULL THEN
                        RAISE EXCEPTION '{table}: an event without its leaf';
                    END IF;
                    INSERT INTO audit_outbox (log, event_id) VALUES ('{log}', NEW.id);
                    RETURN NULL;
                END
                $$
                """
            )
            schema_editor.execute(
                f"CREATE TRIGGER {table}_to_outbox AFTER INSERT ON {table} "
                f"FOR EACH ROW EXECUTE FUNCTION {table}_to_outbox()"
            )
        else:
            schema_editor.execute(
                f"CREATE TRIGGER {table}_to_outbox AFTER INSERT ON {table} BEGIN "
                f"SELECT RAISE(ABORT, '{table}: an event without its leaf') "
                "WHERE NEW.leaf IS NULL; "
                f"INSERT INTO audit_outbox (log, event_id) VALUES ('{log}', NEW.id); "
                "END"
            )


def remove_outbox(apps, schema_editor):
    for table in TABLES:
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"DROP TRIGGER {table}_to_outbox ON {table}")
            schema_editor.execute(f"DROP FUNCTION {table}_to_outbox()")
        else:
            schema_editor.execute(f"DROP TRIGGER {table}_to_outbox")


class Migration(migrations.Migration):
    dependencies = [("audit", "0010_sealed_log")]
    operations = [
        migrations.RunPython(lift_guards, set_guards),
        migrations.RunPython(add_leaves, remove_leaves),
        migrations.RunPython(set_guards, lift_guards),
        migrations.RunPython(add_outbox, remove_outbox),
    ]
