"""G14: whoever fills the disk of the log stops grants, and no revocation."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Final

import pytest

from tests.faults.isolated import isolated
from tests.gateway.netns.lab import command

OPTIONS: Final = "size=300m,mode=1777"
"""PostgreSQL runs as somebody else, who has to get in."""
DATABASE: Final = "PEERAGE_TEST_DATABASE_URL"
"""Of the test run; this test brings its own."""
FILLING: Final = (sys.executable, "-m", "tests.faults.filling")
WAYS: Final = {
    "sqlite": FILLING,
    "postgresql": (sys.executable, "-m", "tests.lab.postgresql", *FILLING),
}


@pytest.mark.parametrize("database", WAYS)
@isolated(seconds=180)
def test_g14_a_full_disk_stops_what_gives_and_nothing_that_takes_away(
    database: str,
) -> None:
    kept = {name: text for name, text in os.environ.items() if name != DATABASE}
    with tempfile.TemporaryDirectory() as disk:
        command("mount", "-t", "tmpfs", "-o", OPTIONS, "tmpfs", disk)
        try:
            done = subprocess.run(
                WAYS[database],
                env={**kept, "TMPDIR": disk},
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            command("umount", disk)
    assert done.stdout.endswith(f"{database} done\n"), done.stderr[-4000:]
