"""The verifier's report in an evidence pack."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from audit.actor import SYSTEM
from audit.models import Log
from audit.tlog.report import Report
from audit.verification import record_verification
from portal.evidence import MANIFEST, make_pack
from portal.verified import OWN_KEYS, POLICY_FILE, verification
from tests.audit.conftest import NOON
from tests.audit.past_django import execute, undone
from tests.audit.sealing.conftest import Write, sealer_files, write
from tests.audit.signing import TestWitness, policy_of, seal_all

__all__ = ["sealer_files", "write"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sealer_files")]


def told(most: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(verification(most=most, now=NOON))
    return found


def test_a_log_that_is_whole_verifies_by_its_own_keys(write: Write) -> None:
    write(3)
    seal_all(NOON)
    found = told()
    assert found["report"]["ok"]
    assert found["report"][f"audit.peerage/{Log.CONTROL.value}"]["size"] == 3
    assert (found["believed"], found["last"]) == (OWN_KEYS, None)


def test_a_log_that_was_edited_does_not(write: Write) -> None:
    write(3)
    seal_all(NOON)
    with undone():
        execute("UPDATE audit_auditevent SET actor_label = 'nobody'")
        report = told()["report"]
    assert (report["ok"], report["exit"]) == (False, 1)
    assert report["faults"][0]["log"] == "control"


def test_before_the_first_seal_nothing_is_believed() -> None:
    assert told()["report"]["control"] == "nothing was sealed yet"


def test_a_policy_file_asks_for_its_witnesses(
    settings: Settings, tmp_path: Path, write: Write
) -> None:
    path = tmp_path / "policy"
    path.write_text(policy_of(("berlin", TestWitness("gw_1", 1))))
    settings.PEERAGE_LOG_POLICY_FILE = str(path)
    write(1)
    seal_all(NOON)
    found = told()
    assert found["believed"] == POLICY_FILE
    assert "quorum" in json.dumps(found["report"]["faults"])
    path.write_text("quorum none")
    found = told()
    assert found["believed"].startswith(f"{OWN_KEYS} (the policy file is not read: ")
    assert found["report"]["ok"]


def test_a_log_too_long_for_a_page_tells_what_was_recorded_last(write: Write) -> None:
    write(3)
    seal_all(NOON)
    report = Report()
    report.add("tampered", "control", 1, "edited")
    made = record_verification(report, actor=SYSTEM, now=NOON)
    assert told(most=3)["report"]["ok"]
    found = told(most=2)
    assert found["verified_at"] is None
    assert "3 leaves are too many" in found["why_not"]
    assert found["last"]["event"] == str(made.uid)
    assert (found["last"]["code"], found["last"]["faults"]) == ("AU004A", 1)


def test_the_manifest_names_its_hash(write: Write) -> None:
    write(1)
    seal_all(NOON)
    pack = make_pack(since=NOON - timedelta(days=1), until=NOON, actor=SYSTEM, now=NOON)
    data = pack.files["verification.json"]
    assert json.loads(data)["report"]["ok"]
    hashes = {
        entry["name"]: entry["sha256"]
        for entry in json.loads(pack.files[MANIFEST])["files"]
    }
    assert hashes["verification.json"] == hashlib.sha256(data).hexdigest()
