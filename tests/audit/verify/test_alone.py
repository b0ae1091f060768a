"""The verifier is small, and runs where nothing of the portal does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.audit.verify.writing import VKEY

ROOT: Final = Path(__file__).resolve().parents[3]
MAX_LINES: Final = 400
FORBIDDEN: Final = ("django", "rest_framework", "celery", "redis", "sqlite3", "psycopg")
PROGRAM: Final = """
import runpy, sys
for name in {forbidden!r}:
    sys.modules[name] = None
sys.argv = ["audit.verify", *{arguments!r}]
runpy.run_module("audit.verify", run_name="__main__")
"""


@pytest.mark.parametrize("command", ["fsck", "gaps"])
def test_verifier_runs_without_django_and_database(command: str, log: Path) -> None:
    arguments = [command, str(log), "--key", VKEY]
    program = PROGRAM.format(forbidden=FORBIDDEN, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("ok\n")


def test_bundles_are_checked_in_processes_as_in_one(log: Path) -> None:
    """With a chunk of one bundle, so that three make use of two processes."""
    program = (
        "import sys\n"
        "from audit.verify import tree\n"
        "tree.CHUNK = 1\n"
        "from audit.verify.__main__ import main\n"
        f"if __name__ == '__main__': sys.exit(main({['fsck', str(log)]!r}"
        "  + ['--jobs', '2']))\n"
    )
    (log / "tile/entries/001").unlink()
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "tile/entries/001 is missing" in done.stdout


def test_verifier_is_small_enough_to_be_read() -> None:
    files = sorted((ROOT / "audit" / "verify").glob("*.py"))
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    assert len(files) > 1
    assert lines <= MAX_LINES
