"""What the verifier and the gateway import works where Django is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "module",
    [
        "audit.verify.__main__",
        "audit.events",
        "audit.search.filters",
        "audit.leaves",
        "audit.formats.bodies",
        "audit.formats.syslog",
    ],
)
def test_module_needs_no_django(module: str) -> None:
    program = f"import sys; sys.modules['django'] = None; import {module}"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
