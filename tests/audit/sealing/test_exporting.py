"""What an auditor takes along is complete, verifies, and grows by what is new."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit import services
from audit.actor import Actor, Ref
from audit.errors import SealError
from audit.events import EventCode
from audit.leaves import agrees
from audit.models import AuditEvent, Cosignature, Log
from audit.sealing import exporting, keeping, tables
from audit.sealing.sealer import Sealer
from audit.tlog.tiles import entries
from audit.verify.__main__ import main
from tests.audit.conftest import NOON
from tests.audit.sealing.conftest import Write

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sealer_files")]


def seal() -> None:
    for log in Log:
        Sealer(log).seal(NOON)


def export(*options: str, to: Path) -> dict[str, bytes]:
    call_command("export_log", str(to), *options)
    files = (path for path in to.rglob("*") if path.is_file())
    return {str(path.relative_to(to)): path.read_bytes() for path in files}


def copy(directory: Path) -> None:
    """Export both logs without an event, which would be dated by the real clock."""
    for log in Log:
        key = str(keeping.verifier_key(log))
        exporting.export(log, directory, verifier_key=key, with_rows=False)


def is_verified(directory: Path) -> bool:
    keys = [f"--key={keeping.verifier_key(log)}" for log in Log]
    return main(["fsck", str(directory), "--json", "--jobs", "1", *keys]) == 0


def test_an_export_verifies(write: Write, tmp_path: Path) -> None:
    write(600)
    seal()
    files = export(to=tmp_path / "copy")
    assert is_verified(tmp_path / "copy")
    assert len(entries(files["control/tile/entries/001"], 256)) == 256
    assert len(entries(files["control/tile/entries/002.p/88"], 88)) == 88


def test_what_is_full_is_written_once(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(300)
    seal()
    copy(tmp_path / "copy")
    write(300)
    seal()
    written: list[str] = []
    real = exporting._write  # noqa: SLF001 -- what reaches the disk is the question

    def seen(path: Path, data: bytes) -> None:
        written.append(path.name)
        real(path, data)

    monkeypatch.setattr(exporting, "_write", seen)
    copy(tmp_path / "copy")
    assert "000" not in written
    assert "001" in written
    assert is_verified(tmp_path / "copy")


def test_the_checkpoint_comes_last(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(3)
    seal()
    written: list[str] = []
    monkeypatch.setattr(
        exporting, "_write", lambda path, _data: written.append(path.name)
    )
    exporting.export(Log.CONTROL, tmp_path, verifier_key="", with_rows=True)
    assert written[-1] == "checkpoint"


def test_cosignatures_follow_the_checkpoint(write: Write, tmp_path: Path) -> None:
    write(3)
    seal()
    Cosignature.objects.create(
        log=Log.CONTROL, size=3, witness="w", at=NOON, line="a line\n"
    )
    exporting.export(Log.CONTROL, tmp_path, verifier_key="", with_rows=False)
    assert (tmp_path / "control/checkpoint").read_text().endswith("a line\n")


def rows(directory: Path) -> list[dict[str, Any]]:
    exporting.export(Log.CONTROL, directory, verifier_key="", with_rows=True)
    text = (directory / "control/rows/000000.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_each_row_makes_its_leaf_again(actor: Actor, tmp_path: Path) -> None:
    services.record(
        EventCode.USER_LOGIN, actor=actor, now=NOON, person=Ref(id="us_9", label="Zoë")
    )
    seal()
    (line,) = rows(tmp_path)
    leaf = bytes(AuditEvent.objects.get().leaf or b"")
    salts = {who: base64.b64decode(salt) for who, salt in line["salts"].items()}
    assert "us_9" in salts
    assert agrees(leaf, line["row"], salts)
    line["row"]["person_label"] = "Mallory"
    assert not agrees(leaf, line["row"], salts)


def test_taking_a_copy_is_recorded_before_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nothing of the control log was sealed"):
        call_command("export_log", str(tmp_path))
    assert AuditEvent.objects.filter(code="AU002").count() == 2
    assert not AuditEvent.objects.filter(code="AU013").exists()


def test_a_copy_that_is_whole_is_recorded_with_its_checkpoint(
    write: Write, tmp_path: Path
) -> None:
    write(3)
    seal()
    files = export(to=tmp_path)
    told = AuditEvent.objects.filter(code="AU013").order_by("pk")
    assert [
        (event.details["log"], event.details["rows"], event.details["sha256"])
        for event in told
    ] == [
        (log, rows, hashlib.sha256(files[f"{log}/checkpoint"]).hexdigest())
        for log, rows in (("control", 3), ("connections", 0))
    ]


def test_a_leaf_that_is_gone_is_not_passed_over(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(3)
    seal()
    first = AuditEvent.objects.order_by("id").values_list("id", flat=True)[0]
    held = tables.event_leaves
    monkeypatch.setattr(
        tables,
        "event_leaves",
        lambda log, ids: {k: v for k, v in held(log, ids).items() if k != first},
    )
    (tmp_path / "control/tile/0").mkdir(parents=True)
    (tmp_path / "control/tile/0/000.p").mkdir()
    (tmp_path / "control/tile/0/000.p/3").touch()
    with pytest.raises(SealError, match=r"leaves \[0\] of the control log are gone"):
        exporting.export(Log.CONTROL, tmp_path, verifier_key="", with_rows=False)
