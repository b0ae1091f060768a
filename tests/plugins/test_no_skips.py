"""A skip fails the run where `--no-skips` is given, but for the one allowed reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(folder: Path, body: str, *options: str) -> int:
    """Return the exit status of pytest on one test with that body."""
    (folder / "test_it.py").write_text(f"import pytest\ndef test_it():\n    {body}\n")
    plugins = (
        "-p",
        "tests.plugins.no_skips",
        "-p",
        "no:django",
        "-p",
        "no:cacheprovider",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *options, "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    return done.returncode


@pytest.mark.parametrize(
    "options", [("--no-skips",), ("--no-skips", "-n", "1")], ids=["alone", "xdist"]
)
def test_skip_fails_the_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert run(tmp_path, "pytest.skip('no chromium')", *options) == 1


def test_skip_for_absent_shared_vectors_is_allowed(tmp_path: Path) -> None:
    assert run(tmp_path, "pytest.skip('no ../shared/vectors')", "--no-skips") == 0


def test_skip_is_fine_where_nobody_forbids_it(tmp_path: Path) -> None:
    assert run(tmp_path, "pytest.skip('no chromium')") == 0
