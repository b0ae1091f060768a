"""The one exception of the append-only triggers: forgetting somebody (ADR 0029).

An event may lose, and never get, what its leaf only commits to about a person whose
salt is gone: a column of text becomes empty, and details lose names. Whose a column is
follows the rule of the leaf (`audit.leaves.event_shape`). An event about others is
touched only where `audit_erasedmention` says that it named somebody who was forgotten.

A salt itself goes once and never comes back.
"""

from django.db import migrations

SUBJECT = (
    "CASE WHEN OLD.person_id <> '' THEN OLD.person_id"
    " WHEN OLD.actor_kind = 'user' THEN OLD.actor_id ELSE '' END"
)
ACTOR = "CASE WHEN OLD.actor_kind = 'user' THEN OLD.actor_id ELSE '' END"
TARGET = (
    "CASE WHEN substr(OLD.target_id, 1, 3) = 'us_' THEN OLD.target_id"
    f" ELSE {SUBJECT} END"
)
# Whose it is, and the columns that may become empty.
PARTS = (
    (ACTOR, ("actor_id", "actor_label", "actor_address")),
    ("OLD.person_id", ("person_label",)),
    (SUBJECT, ("device_label", "reason")),
    (TARGET, ("target_id", "target_label")),
)
KEPT = (
    *("id", "uid", "at", "code", "outcome", "actor_kind", "actor_role", "request_id"),
    *("person_id", "device_id", "gateway_id", "gateway_label", "application_id"),
    *("application_label", "nonce", "leaf"),
)
LABELS = ("person_label", "device_label", "grant_label")
MENTIONED = """EXISTS (
    SELECT 1 FROM audit_erasedmention m
    JOIN audit_identitysalt s ON s.person_id = m.person_id
    WHERE m.event_uid = OLD.uid AND s.salt IS NULL
)"""
SAME = {"postgresql": "IS NOT DISTINCT FROM", "sqlite": "IS"}
FEWER_DETAILS = {
    "postgresql": "OLD.details @> NEW.details",
    "sqlite": """NOT EXISTS (
        SELECT 1 FROM json_each(NEW.details) made WHERE NOT EXISTS (
            SELECT 1 FROM json_each(OLD.details) held
            WHERE held.key = made.key AND held.type = made.type
            AND held.value IS made.value
        )
    )""",
}
SAME_DETAILS = {
    "postgresql": "NEW.details = OLD.details",
    "sqlite": "json(NEW.details) = json(OLD.details)",
}
FLOW_PERSON = {
    "postgresql": "OLD.attribution ->> 'person_id'",
    "sqlite": "json_extract(OLD.attribution, '$.person_id')",
}
WITHOUT_LABELS = {
    "postgresql": "NEW.attribution = OLD.attribution - ARRAY["
    + ", ".join(f"'{name}'" for name in LABELS)
    + "]",
    "sqlite": "json(NEW.attribution) = json_remove(OLD.attribution, "
    + ", ".join(f"'$.{name}'" for name in LABELS)
    + ")",
}
FLOW_KEPT = (
    *("id", "gateway_id", "sequence", "kind", "at", "received_at", "flow", "nonce"),
    "leaf",
)
BODY = {"postgresql": "NEW.body = OLD.body", "sqlite": "NEW.body IS OLD.body"}


def forgotten(whose):
    return (
        "EXISTS (SELECT 1 FROM audit_identitysalt s WHERE s.salt IS NULL"
        f" AND s.person_id = {whose})"
    )


def event_condition(vendor):
    """Return in SQL that an update of an event only forgets somebody."""
    kept = [f"NEW.{name} {SAME[vendor]} OLD.{name}" for name in KEPT]
    parts = [
        f"(NEW.{name} = OLD.{name} OR NEW.{name} = ''"
        f" AND ({forgotten(whose)} OR {MENTIONED}))"
        for whose, names in PARTS
        for name in names
    ]
    details = (
        f"({SAME_DETAILS[vendor]} OR {FEWER_DETAILS[vendor]}"
        f" AND ({forgotten(SUBJECT)} OR {MENTIONED}))"
    )
    return "\n AND ".join([*kept, *parts, details])


def flow_condition(vendor):
    """Return in SQL that an update of a flow event only forgets somebody."""
    kept = [f"NEW.{name} {SAME[vendor]} OLD.{name}" for name in FLOW_KEPT]
    return "\n AND ".join(
        [
            *kept,
            BODY[vendor],
            WITHOUT_LABELS[vendor],
            forgotten(FLOW_PERSON[vendor]),
        ]
    )


SALT_CONDITION = (
    "NEW.person_id = OLD.person_id AND NEW.salt IS NULL"
    " AND NEW.forgotten_at IS NOT NULL"
)
CONDITIONS = {
    "audit_auditevent": event_condition,
    "audit_flowevent": flow_condition,
    "audit_identitysalt": lambda _vendor: SALT_CONDITION,
}


def add_guards(apps, schema_editor):
    vendor = schema_editor.connection.vendor
    for table in ("audit_auditevent", "audit_flowevent"):
        drop(schema_editor, table)
    for table, condition in CONDITIONS.items():
        if vendor == "postgresql":
            schema_editor.execute(
                f"""
                CREATE FUNCTION {table}_change() RETURNS trigger
                LANGUAGE plpgsql AS $$
                BEGIN
                    IF TG_OP = 'UPDATE' THEN
                        IF {condition(vendor)} THEN
                            RETURN NEW;
                        END IF;
                    END IF;
                    RAISE EXCEPTION USING
                        MESSAGE = TG_TABLE_NAME || ' is append-only',
                        ERRCODE = 'restrict_violation';
                END
                $$
                """
            )
            schema_editor.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE "
                f"ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_change()"
            )
        else:
            schema_editor.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table} "
                f"WHEN NOT ({condition(vendor)}) "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    add_plain(schema_editor, "audit_erasedmention")


def remove_guards(apps, schema_editor):
    for table in (*CONDITIONS, "audit_erasedmention"):
        drop(schema_editor, table)
    if schema_editor.connection.vendor == "postgresql":
        for table in CONDITIONS:
            schema_editor.execute(f"DROP FUNCTION {table}_change()")
    for table in ("audit_auditevent", "audit_flowevent"):
        add_plain(schema_editor, table)


def add_plain(schema_editor, table):
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


def drop(schema_editor, table):
    on = f" ON {table}" if schema_editor.connection.vendor == "postgresql" else ""
    schema_editor.execute(f"DROP TRIGGER {table}_append_only{on}")


class Migration(migrations.Migration):
    dependencies = [("audit", "0015_forgetting")]
    operations = [migrations.RunPython(add_guards, remove_guards)]
