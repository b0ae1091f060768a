"""How fast the first page of a search in ten million connections comes.

`script/bench search [--rows N] [--rounds N] [--only fill|index|ask]`

A PostgreSQL is made for the run, unless PEERAGE_TEST_DATABASE_URL names one that keeps
the rows between the parts (`--only`). The rows are made by the server: few people make
most connections, few applications take most, three in a hundred are denied. Each
question is asked as the page asks it, rows and count, of values that are frequent,
ordinary and rare; beside it stands a bare `SELECT … LIMIT 50` by an index.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.lab.postgresql import postgresql

if TYPE_CHECKING:
    from collections.abc import Sequence

URL = "PEERAGE_TEST_DATABASE_URL"
PARTS = ("fill", "index", "ask")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="script/bench search")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", choices=PARTS)
    asked = parser.parse_args(arguments)
    if URL not in os.environ:
        with postgresql() as url:
            # Django reads its settings once, so the measuring is a program of its own.
            command = [sys.executable, "-m", "tests.bench.search", *sys.argv[1:]]
            return subprocess.run(
                command, env={**os.environ, URL: url}, check=False
            ).returncode
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    from tests.bench.measures import searching  # noqa: PLC0415 -- needs the settings

    parts: dict[str, Any] = {
        "fill": lambda: searching.fill(asked.rows),
        "index": searching.index,
        "ask": lambda: searching.ask(asked.rounds),
    }
    for name in (asked.only,) if asked.only else PARTS:
        began = time.perf_counter()
        parts[name]()
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
