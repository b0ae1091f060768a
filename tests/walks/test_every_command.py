"""G16: no command changes anything in silence; raw ones are refused or told of."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command, get_commands
from pytest_django import Settings

from audit.models import AuditEvent
from peers.models import AddressLease, AddressPool
from portal.management.raw import RECORDED
from portal.management.raw import REFUSED as RAW
from portal.management.shells import record_opened
from tests.walks import commands
from tests.walks.commands import NOT_RUN, RUNS, Run
from tests.walks.company import Company
from tests.walks.tables import Ledger

if TYPE_CHECKING:
    from tests.walks.walker import Commits

ROOT = Path(__file__).parents[2]


def test_every_command_has_a_line_and_every_line_a_command() -> None:
    assert sorted({run.name for run in RUNS} | set(NOT_RUN)) == sorted(get_commands())


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_no_command_changes_anything_in_silence(
    run: Run, company: Company, commits: Commits, settings: Settings, tmp_path: Path
) -> None:
    if run.name == "init_pools":
        AddressLease.objects.all().delete()
        AddressPool.objects.all().delete()
    settings.PEERAGE_POLICY_GATEWAYS = ["berlin"]
    words = run.words(company, tmp_path)
    ledger = Ledger()
    before = AuditEvent.objects.count()
    with ledger.watching() as changed, commits(execute=True), suppress(SystemExit):
        call_command(run.name, *words, stdout=io.StringIO(), stderr=io.StringIO())
    assert bool(changed) == run.must_change
    assert not changed or AuditEvent.objects.count() > before


def test_the_raw_commands_are_those_with_the_reason() -> None:
    for why, names in ((commands.REFUSED, RAW), (commands.RECORDED, RECORDED)):
        assert {name for name, told in NOT_RUN.items() if told == why} == set(names)


@pytest.mark.parametrize("name", RAW)
def test_a_command_that_writes_past_the_log_is_refused(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", name],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "writes past the log" in done.stderr


@pytest.mark.django_db
@pytest.mark.parametrize("name", RECORDED)
def test_a_shell_on_the_database_is_told_of(name: str) -> None:
    record_opened(name)
    found = AuditEvent.objects.get()
    assert (str(found), found.actor_kind, found.actor_id) == ("AU012I", "command", name)
