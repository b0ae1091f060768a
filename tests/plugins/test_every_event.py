"""An event that no test makes fails the run where `--every-event` is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from audit.events import CATALOGUE
from tests.plugins.every_event import missing

ROOT = Path(__file__).parents[2]
ALL = {
    f"{code.value}{outcome.value}"
    for code, kind in CATALOGUE.items()
    for outcome in kind.outcomes
}


def test_nothing_is_missing_where_everything_was_made() -> None:
    assert missing(ALL) == []


def test_each_way_to_end_counts_by_itself() -> None:
    assert missing(ALL - {"ID001W"}) == ["ID001W"]


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_green_run_without_an_event_is_red(options: tuple[str, ...]) -> None:
    chosen = "tests/portal/accounts/test_services.py"
    program = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*program, "--every-event", *options, chosen],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if "PYTEST" not in name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no test makes the event GW004I" in done.stdout
    assert "no test makes the event ID006I" not in done.stdout
