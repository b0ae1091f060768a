"""G14: whoever fills the disk of the log stops grants, and no revocation."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from tests.faults.isolated import isolated
from tests.gateway.netns.lab import command

SIZE = "size=96m"


@isolated(seconds=180)
def test_g14_a_full_disk_stops_what_gives_and_nothing_that_takes_away() -> None:
    with tempfile.TemporaryDirectory() as disk:
        command("mount", "-t", "tmpfs", "-o", SIZE, "tmpfs", disk)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "tests.faults.filling"],
                env={**os.environ, "TMPDIR": disk},
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            command("umount", disk)
    assert done.stdout.endswith("done\n"), done.stderr[-4000:]
