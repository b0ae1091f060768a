"""A log as files, and the verifier as its users run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.verify.__main__ import main
from tests.audit.verify.writing import VKEY, write_log

Verify = Callable[..., tuple[int, dict[str, Any]]]
ENTRIES = [f'{{"number":{number}}}'.encode() for number in range(700)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the directory of a log of 700 entries."""
    write_log(tmp_path / "log", ENTRIES)
    return tmp_path / "log"


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Verify:
    """Return a runner of the verifier: its exit code, and its report."""

    def run(*arguments: object, key: str = VKEY) -> tuple[int, dict[str, Any]]:
        code = main([*map(str, arguments), "--key", key, "--json", "--jobs", "1"])
        return code, json.loads(capsys.readouterr().out)

    return run
