"""The one DELETE of the append-only triggers: what an approved prune covers.

An event goes whose place in the tree is below the index that two people agreed on,
and a place whose event is gone. Everything else that the triggers refuse stays as
`0016_forgetting_guards` has it. On SQLite nothing changes: `0002_append_only` says why
rows can be deleted there.
"""

from importlib import import_module

from django.db import migrations

before = import_module("audit.migrations.0016_forgetting_guards")

LOGS = {"audit_auditevent": "control", "audit_flowevent": "connections"}
CHANGE = """
CREATE OR REPLACE FUNCTION {table}_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF {update} THEN
            RETURN NEW;
        END IF;
    ELSIF {delete} THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION USING
        MESSAGE = TG_TABLE_NAME || ' is append-only',
        ERRCODE = 'restrict_violation';
END
$$
"""
EVENT_PRUNED = """EXISTS (
    SELECT 1 FROM audit_sealedleaf place
    JOIN audit_prune p ON p.log = place.log AND place."index" < p.below
    WHERE place.log = '{log}' AND place.event_id = OLD.id
    AND p.approved_at IS NOT NULL AND p.approver_id <> p.proposer_id
)"""
PLACE_PRUNED = """EXISTS (
    SELECT 1 FROM audit_prune p WHERE p.log = OLD.log AND OLD."index" < p.below
    AND p.approved_at IS NOT NULL AND p.approver_id <> p.proposer_id
) AND NOT EXISTS (
    SELECT 1 FROM audit_auditevent e WHERE OLD.log = 'control' AND e.id = OLD.event_id
) AND NOT EXISTS (
    SELECT 1 FROM audit_flowevent e
    WHERE OLD.log = 'connections' AND e.id = OLD.event_id
)"""


def allow(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for table, log in LOGS.items():
        update = before.CONDITIONS[table]("postgresql")
        delete = EVENT_PRUNED.format(log=log)
        schema_editor.execute(CHANGE.format(table=table, update=update, delete=delete))
    table = "audit_sealedleaf"
    before.drop(schema_editor, table)
    schema_editor.execute(
        CHANGE.format(table=table, update="FALSE", delete=PLACE_PRUNED)
    )
    schema_editor.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE "
        f"ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_change()"
    )


def refuse(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for table in LOGS:
        update = before.CONDITIONS[table]("postgresql")
        schema_editor.execute(
            CHANGE.format(table=table, update=update, delete="FALSE")
        )
    before.drop(schema_editor, "audit_sealedleaf")
    schema_editor.execute("DROP FUNCTION audit_sealedleaf_change()")
    before.add_plain(schema_editor, "audit_sealedleaf")


class Migration(migrations.Migration):
    dependencies = [("audit", "0017_prune")]
    operations = [migrations.RunPython(allow, refuse)]
