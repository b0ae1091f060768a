"""How fast the log is sealed, on SQLite and PostgreSQL side by side.

`script/bench audit [--events N] [--seconds S] [--rate R] [--only sqlite|postgresql]`

Both databases are made for the run and sync to the disk as they do in production. The
same rows are inserted bare (a table of the same columns and indexes, no trigger, in
batches of 5,000), then as events with their outbox, then sealed. At last a writer of
its own adds R events a second for S seconds while a sealer works as it does in
production, and every event's way from its commit to a signed checkpoint is timed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.postgresql import postgresql

if TYPE_CHECKING:
    from collections.abc import Sequence

URL = "PEERAGE_DATABASE_URL"
DATABASES = ("sqlite", "postgresql")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="script/bench audit")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--only", choices=DATABASES)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.inside:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PEERAGE_SECRET_KEY": "bench-only-0123456789-abcdefghijklmnopqrstuvwxyz-AB",
            "PEERAGE_STATE_DIR": str(asked.inside),
        }
        from tests.bench.measures import sealing  # noqa: PLC0415 -- needs the settings

        sealing.measure(asked.events, asked.rate, asked.seconds)
        return 0
    status = 0
    for name in (asked.only,) if asked.only else DATABASES:
        with tempfile.TemporaryDirectory(prefix="peerage-bench-") as home:
            if name == "sqlite":
                status |= _inside(f"sqlite:///{home}/bench.sqlite3", home)
            else:
                with postgresql(is_durable=True) as url:
                    status |= _inside(url, home)
    return status


def _inside(url: str, home: str) -> int:
    # Django reads its settings once, so each database has a program of its own.
    command = [sys.executable, "-m", "tests.bench.audit", *sys.argv[1:]]
    return subprocess.run(
        [*command, "--inside", home], env={**os.environ, URL: url}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
