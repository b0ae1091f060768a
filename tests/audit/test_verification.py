"""`manage.py verify_log` answers, and its answer is an event."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.db import connections
from pytest_django import Settings

from audit import services, verification
from audit.actor import Actor
from audit.events import EventCode
from audit.key_files import create_key_file
from audit.models import AuditEvent, Connection, FlowKind, Log, SealedLeaf
from audit.sealing import tables
from audit.sealing.deciding import Signed
from audit.sealing.keeping import key_file
from audit.verification import verify_log
from tests.audit.conftest import GATEWAY, NOON, MakeFlow
from tests.audit.past_django import set_value, undone
from tests.audit.small_sealer import policy, seal

pytestmark = pytest.mark.django_db
KEYS = [f"--key={key}" for key in policy().logs]


@pytest.fixture
def sealed(actor: Actor, make_flow: MakeFlow) -> None:
    """Two events of each log, one of each sealed."""
    for number in (1, 2):
        services.record(EventCode.USER_LOGIN, actor=actor, now=NOON)
        flow = make_flow(FlowKind.OPEN, number, flow=f"f{number}")
        services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)
        if number == 1:
            for log in Log:
                seal(log, NOON)


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    answer, code = StringIO(), 0
    try:
        call_command("verify_log", *KEYS, "--json", *arguments, stdout=answer)
    except SystemExit as stop:
        code = int(str(stop.code))
    return code, json.loads(answer.getvalue())


@pytest.mark.usefixtures("sealed")
def test_sound_log_is_recorded_as_such() -> None:
    code, report = run()
    assert (code, report["faults"]) == (0, [])
    assert report["audit.test/control"]["size"] == 1
    assert str(AuditEvent.objects.latest("id")) == "AU004I"


@pytest.mark.usefixtures("sealed")
def test_changed_connection_is_an_alert_that_names_it() -> None:
    Connection.objects.filter(flow="f2").update(person_id="us_2")
    code, report = run()
    assert code == 1
    assert "f2 allowed: not as its events tell: person_id" in str(report["faults"])
    event = AuditEvent.objects.latest("id")
    assert str(event) == "AU004A"
    assert (event.details["faults"], len(event.details["first"])) == (1, 1)


@pytest.mark.usefixtures("sealed")
def test_g08_what_the_sealer_remembers_and_the_database_lost_is_named() -> None:
    """An older backup is faultless in itself; the sealer's own file is ahead of it."""
    held = {log: Signed(size=1, root=tables.root_at(log, 1)) for log in Log}
    assert verify_log(policy(), signed=held).faults == []
    held[Log.CONTROL] = Signed(size=9, root=b"")
    faults = verify_log(policy(), signed=held).faults
    assert [(fault.log, fault.index) for fault in faults] == [("control", 1)]


@pytest.mark.usefixtures("sealed")
def test_another_tree_of_the_same_size_is_named() -> None:
    held = {Log.CONTROL: Signed(size=1, root=b"x" * 32)}
    (fault,) = verify_log(policy(), signed=held).faults
    assert "not the ones that were signed" in str(fault)


@pytest.mark.usefixtures("sealed")
def test_place_moved_far_away_does_not_drown_the_report() -> None:
    far = 10**12
    with undone():
        set_value(SealedLeaf.objects.get(log=Log.CONTROL), "index", far)
        faults = verify_log(policy()).faults
    assert {0, far} <= {fault.index for fault in faults}
    assert len(faults) < 10


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("sealed")
def test_two_processes_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    # The other process reads its settings itself, and must read the same database.
    name = database.settings_dict["NAME"]
    url = f"sqlite:///{name}"
    if database.vendor == "postgresql":
        server = urlsplit(os.environ["PEERAGE_DATABASE_URL"])
        url = server._replace(path=f"/{name}").geturl()
    monkeypatch.setenv("PEERAGE_TEST_DATABASE_URL", url)
    assert verify_log(policy(), jobs=2).faults == []
    Connection.objects.filter(flow="f2").update(person_id="us_2")
    (fault,) = verify_log(policy(), jobs=2).faults
    assert "f2 allowed: not as its events tell: person_id" in fault.message


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("sealed")
def test_while_the_log_is_verified_others_write(actor: Actor) -> None:
    """SQLite has one writer: a revocation must not wait for the verifier."""
    with verification._one_moment():  # noqa: SLF001 -- what verify_log stands in
        assert AuditEvent.objects.exists()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_write, actor).result(timeout=15)


def _write(actor: Actor) -> None:
    try:
        services.record(EventCode.USER_LOGIN, actor=actor, now=NOON)
    finally:
        connections.close_all()


@pytest.mark.usefixtures("sealed")
def test_sealers_own_keys_are_believed_where_nothing_else_is_said(
    settings: Settings, tmp_path: Path
) -> None:
    settings.PEERAGE_LOG_KEY_DIR = tmp_path
    for log in Log:
        create_key_file(key_file(log))
    answer = StringIO()
    with pytest.raises(SystemExit):
        call_command("verify_log", stdout=answer)
    # They are others than those which sealed here, and under another name.
    assert "no key of the log" in answer.getvalue()


def test_log_that_was_never_sealed_is_told() -> None:
    code, report = run()
    assert (code, report["control"]) == (0, "nothing was sealed yet")


@pytest.mark.usefixtures("sealed")
def test_verification_itself_changes_nothing_but_its_event() -> None:
    before = AuditEvent.objects.count()
    run()
    assert AuditEvent.objects.count() == before + 1
    assert run()[0] == 0


@pytest.mark.usefixtures("sealed")
def test_policy_file_is_believed(tmp_path: Path) -> None:
    lines = [*(f"log {key}" for key in policy().logs), "quorum none"]
    (tmp_path / "policy").write_text("\n".join(lines), encoding="utf-8")
    call_command("verify_log", policy=str(tmp_path / "policy"), stdout=StringIO())


@pytest.mark.parametrize("options", [{}, {"key": ["x"]}, {"policy": "/nowhere"}])
def test_nothing_is_believed_by_default(
    options: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    settings.PEERAGE_LOG_KEY_DIR = tmp_path / "none"
    with pytest.raises(CommandError):
        call_command("verify_log", **options)
