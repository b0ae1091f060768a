"""What the portal, the sealer and an auditor may do in PostgreSQL (G05, G06)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from audit import services
from audit.actor import Actor
from audit.events import EventCode
from audit.log_states import log_states
from audit.models import AuditEvent, Log, Outbox, SealedLeaf
from audit.sealing import tables
from audit.sealing.sealer import Sealer
from tests.audit.conftest import NOON
from tests.audit.sealing.conftest import Write
from tests.audit.test_append_only import run

ROLES = Path(__file__).resolve().parents[3] / "deploy" / "postgresql" / "roles.sql"
LOG = ["audit_auditevent", "audit_flowevent", "audit_sealedleaf", "audit_sealedtile"]
CHANGES = {
    "update": "UPDATE {} SET id = id",
    "delete": "DELETE FROM {}",
    "truncate": "TRUNCATE {}",
    "disable triggers": "ALTER TABLE {} DISABLE TRIGGER ALL",
    "drop": "DROP TABLE {}",
}
BACK_DATED = """
    INSERT INTO audit_auditevent (id, uid, at, code, outcome, actor_kind, actor_id,
        actor_label, actor_role, actor_address, request_id, person_id, person_label,
        device_id, device_label, gateway_id, gateway_label, application_id,
        application_label, target_id, target_label, reason, details, nonce, leaf)
    SELECT -5, gen_random_uuid(), at, code, outcome, actor_kind, actor_id, actor_label,
        actor_role, actor_address, request_id, person_id, person_label, device_id,
        device_label, gateway_id, gateway_label, application_id, application_label,
        target_id, target_label, reason, details, nonce, leaf FROM audit_auditevent
"""
FORBIDDEN = {
    "choose an index": BACK_DATED,
    "fill the outbox": "INSERT INTO audit_outbox (log, event_id) VALUES ('control', 1)",
    "empty the outbox": "DELETE FROM audit_outbox",
    "say what was signed": "UPDATE audit_sealerstate SET size = 0",
    "forget a salt": "DELETE FROM audit_identitysalt",
    "forget somebody": "UPDATE audit_identitysalt SET salt = NULL",
    "agree with oneself": "UPDATE audit_prune SET approved_at = now()",
    "excuse a text that went": "INSERT INTO audit_erasedmention (event_uid, person_id)"
    " VALUES (gen_random_uuid(), 'us_1')",
    "switch triggers off": "SET session_replication_role = replica",
}


@pytest.fixture
def roles(write: Write) -> None:
    """Apply the file; the test's transaction takes the roles back."""
    write(1)
    with connection.cursor() as cursor:
        cursor.execute(ROLES.read_text(encoding="utf-8"))


@contextmanager
def acting_as(role: str) -> Iterator[None]:
    run(f"SET ROLE {role}")
    try:
        yield
    finally:
        run("RESET ROLE")


if connection.vendor == "postgresql":

    @pytest.mark.usefixtures("roles")
    @pytest.mark.parametrize("table", LOG)
    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize("role", ["app", "sealer", "auditor"])
    def test_nobody_at_run_time_changes_the_log(
        role: str, change: str, table: str
    ) -> None:
        with acting_as(f"peerage_{role}"):
            refused(CHANGES[change].format(table))

    @pytest.mark.usefixtures("roles")
    @pytest.mark.parametrize("table", LOG)
    @pytest.mark.parametrize("change", CHANGES.keys() - {"delete"})
    def test_who_forgets_and_prunes_changes_nothing_else(
        change: str, table: str
    ) -> None:
        with acting_as("peerage_eraser"):
            refused(CHANGES[change].format(table))

    @pytest.mark.usefixtures("roles")
    def test_who_prunes_deletes_nothing_that_two_people_did_not_agree_on() -> None:
        with acting_as("peerage_eraser"):
            refused("DELETE FROM audit_sealedtile")
            refused("DELETE FROM audit_sealedcheckpoint")
            refused("DELETE FROM audit_prune")
            with pytest.raises(IntegrityError, match="append-only"):
                run("DELETE FROM audit_auditevent")

    @pytest.mark.usefixtures("roles")
    @pytest.mark.parametrize("attempt", FORBIDDEN)
    @pytest.mark.parametrize("role", ["app", "auditor"])
    def test_the_portal_and_auditors_cannot(role: str, attempt: str) -> None:
        with acting_as(f"peerage_{role}"):
            refused(FORBIDDEN[attempt])

    @pytest.mark.usefixtures("roles", "sealer_files")
    def test_the_portal_records_and_the_sealer_seals(actor: Actor) -> None:
        with acting_as("peerage_app"):
            services.record(EventCode.USER_LOGIN, actor=actor, now=NOON)
        assert Outbox.objects.count() == 2
        with acting_as("peerage_sealer"):
            assert Sealer(Log.CONTROL).seal(NOON) == 2
        assert SealedLeaf.objects.count() == AuditEvent.objects.count() == 2

    @pytest.mark.usefixtures("roles")
    def test_the_sealer_leaves_word_and_takes_it_back() -> None:
        with acting_as("peerage_sealer"):
            tables.tell_refusal(Log.CONTROL, "edited", now=NOON)
        with acting_as("peerage_app"):
            assert log_states(NOON)[0].refusal == "edited"
            refused("DELETE FROM audit_sealerrefusal")
        with acting_as("peerage_sealer"):
            tables.withdraw_refusal(Log.CONTROL)

    @pytest.mark.usefixtures("roles")
    def test_the_file_may_be_applied_again() -> None:
        with connection.cursor() as cursor:
            cursor.execute(ROLES.read_text(encoding="utf-8"))


def refused(sql: str) -> None:
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        transaction.atomic(),
    ):
        run(sql)
