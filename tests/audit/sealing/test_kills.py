"""A sealer that is killed anywhere loses nothing and signs nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.django_db
def test_twenty_kills_under_load_leave_every_event_sealed_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.audit.sealing.kills", "--kills", "20"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    found = json.loads(done.stdout)
    assert found["faults"] == []
    assert found["sealed"] == found["events"] > 0
    assert done.returncode == 0
