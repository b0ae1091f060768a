"""The sealer asks witnesses that stand alone: real ones, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from audit import asking, witnesses
from audit.models import AuditEvent, Cosignature, Log, SealedCheckpoint, SealerState
from audit.sealing import keeping
from audit.sealing.exporting import export
from audit.sealing.sealer import Sealer
from audit.tlog.cosignature import WitnessKey
from audit.tlog.note import NoteError, verify_note
from audit.verify.__main__ import main as verify
from audit.witness.keeping import create
from tests.audit.conftest import NOON
from tests.audit.sealing.conftest import Write, sealer_files, write
from tests.audit.test_append_only import run
from tests.audit.witness.log import MemoryLog
from tests.audit.witness.test_witness import NAME, serving

__all__ = ["sealer_files", "write"]

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.enable_socket,
    pytest.mark.usefixtures("sealer_files"),
]


@pytest.fixture
def stranger(
    tmp_path: Path, settings: Settings, sealer_files: Path
) -> Iterator[WitnessKey]:
    """A witness of the control log that runs, and is configured."""
    key = create(tmp_path / "witness", NAME)
    origin = keeping.origin(Log.CONTROL)
    log = MemoryLog(origin=origin, key=keeping.private_key(Log.CONTROL))
    settings.PEERAGE_OUTBOUND_HTTP = True
    settings.PEERAGE_OUTBOUND_NETWORKS = (ip_network("127.0.0.0/8"),)
    with serving(tmp_path / "witness", log) as (host, port):
        settings.PEERAGE_WITNESSES = [f"{key}@http://{host}:{port}/"]
        yield key


def seal(minutes: int) -> None:
    Sealer(Log.CONTROL).seal(NOON + timedelta(minutes=minutes))


def ask(minutes: int) -> int:
    return asking.ask_all(now=NOON + timedelta(minutes=minutes, seconds=45))


def test_a_witness_signs_what_grows_and_only_once(
    stranger: WitnessKey, write: Write
) -> None:
    write(3)
    seal(0)
    assert (ask(0), ask(0)) == (1, 0)
    write(300)
    seal(2)
    assert ask(2) == 1
    note = witnesses.cosigned_note(Log.CONTROL)
    assert note is not None
    verify_note(note.encode(), [stranger])
    assert f"\n{SealerState.objects.get(log='control').size}\n" in note
    begun = AuditEvent.objects.get(code="AU040")
    assert (begun.target_id, begun.details) == (NAME, {"key": str(stranger)})


def test_a_copy_up_to_what_was_witnessed_satisfies_a_quorum(
    stranger: WitnessKey, write: Write, tmp_path: Path
) -> None:
    write(3)
    seal(0)
    ask(0)
    write(300)
    seal(2)
    key = str(keeping.verifier_key(Log.CONTROL))
    policy = tmp_path / "policy"
    policy.write_text(f"log {key}\nwitness w {stranger}\nquorum w\n")
    for cosigned, status in ((False, 1), (True, 0)):
        place = tmp_path / str(cosigned)
        export(Log.CONTROL, place, verifier_key=key, with_rows=True, cosigned=cosigned)
        words = ["fsck", str(place / "control"), "--policy", str(policy)]
        assert verify(words) == status


def test_a_signature_that_was_lost_here_is_asked_for_again(
    stranger: WitnessKey, write: Write
) -> None:
    write(3)
    seal(0)
    ask(0)
    Cosignature.objects.all().delete()
    write(1)
    seal(2)
    assert ask(2) == 1


@pytest.mark.usefixtures("stranger")
def test_g03_a_log_rewritten_with_its_own_key_gets_no_signature_and_an_alert(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write(3)
    seal(0)
    assert ask(0) == 1
    # The thief has database, state file and key, and makes a history of their own.
    table = AuditEvent._meta.db_table
    run(f"DROP TRIGGER {table}_append_only" + _on(table))
    run("UPDATE audit_auditevent SET leaf = nonce WHERE code = 'ID001'")
    for name in ("sealedleaf", "sealedtile", "sealedcheckpoint"):
        run(f"DROP TRIGGER audit_{name}_append_only" + _on(f"audit_{name}"))
        run(f"DELETE FROM audit_{name}")  # noqa: S608 -- one of three words
    run("DELETE FROM audit_sealerstate")
    run("DELETE FROM audit_outbox")
    run(
        "INSERT INTO audit_outbox (log, event_id)"
        " SELECT 'control', id FROM audit_auditevent ORDER BY id"
    )
    keeping.state_file(Log.CONTROL).unlink()
    seal(2)
    assert (ask(2), ask(2)) == (0, 0)
    refused = AuditEvent.objects.get(code="AU041")
    assert (refused.outcome, refused.target_id) == ("A", NAME)
    assert refused.details["log"] == "control"
    assert "no signature of witness.test" in caplog.text


def test_a_witness_that_does_not_answer_is_a_warning(
    settings: Settings, write: Write, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    key = create(tmp_path / "away", NAME)
    settings.PEERAGE_OUTBOUND_HTTP = True
    settings.PEERAGE_OUTBOUND_NETWORKS = (ip_network("127.0.0.0/8"),)
    settings.PEERAGE_WITNESSES = [f"{key}@http://127.0.0.1:1"]
    write(1)
    seal(0)
    assert ask(0) == 0
    assert "the connection failed" in caplog.text
    assert SealedCheckpoint.objects.count() == 1


@pytest.mark.parametrize("text", ["nonsense", "a+b+c@http://w.example"])
def test_a_configuration_that_says_nothing_is_refused(
    settings: Settings, text: str
) -> None:
    settings.PEERAGE_WITNESSES = [text]
    with pytest.raises(NoteError):
        list(asking.configured())


def _on(table: str) -> str:
    return f" ON {table}" if connection.vendor == "postgresql" else ""
