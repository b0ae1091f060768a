"""Kill the sealer again and again while events are written, then look.

    python -m tests.audit.sealing.kills [--kills N] [--seed S] [--database URL]

Two writers append events in transactions of their own, some of which roll back. A
sealer without rests is forked and killed by SIGKILL at a random moment, N times. Then
one seals what is left, and everything is compared: every event sealed exactly once,
indexes without gap, every checkpoint that anybody ever saw a prefix of the last tree.
Exit status 0 if so; the findings go to standard output as JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import django
import psycopg
from django.core.management import call_command

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess
    from multiprocessing.synchronize import Event

WRITERS: Final = 2
LONGEST_SECONDS: Final = 0.5
"""A turn of the sealer takes a few tens of milliseconds, on a busy machine hundreds."""
FORK: Final = multiprocessing.get_context("fork")


@dataclass(slots=True)
class Findings:
    """What was seen; `faults` is empty when all is well."""

    kills: int
    events: int = 0
    sealed: int = 0
    checkpoints: int = 0
    seconds: float = 0
    faults: list[str] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    """Kill, compare, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.audit.sealing.kills")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", default=os.getenv("PEERAGE_TEST_DATABASE_URL"))
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="peerage-kills-") as name,
        own_database(options.database, Path(name)) as url,
    ):
        _set_up(url, Path(name))
        findings = kill_sealers(options.kills, random.Random(options.seed))  # noqa: S311 -- moments, not secrets
        _close()
    sys.stdout.write(json.dumps(asdict(findings), indent=1) + "\n")
    return 1 if findings.faults else 0


def kill_sealers(kills: int, chance: random.Random) -> Findings:
    """Return what is found after so many kills."""
    findings = Findings(kills=kills)
    began = time.monotonic()
    enough = FORK.Event()
    writers = [
        FORK.Process(target=_write, args=(enough, number)) for number in range(WRITERS)
    ]
    _start(*writers)
    for _ in range(kills):
        ready = FORK.Event()
        sealer = FORK.Process(target=_seal, args=(ready,))
        _start(sealer)
        ready.wait()
        time.sleep(chance.uniform(0, LONGEST_SECONDS))
        sealer.kill()
        sealer.join()
    enough.set()
    for writer in writers:
        writer.join()
        if writer.exitcode:
            findings.faults.append("a writer failed")
    _compare(findings)
    findings.seconds = round(time.monotonic() - began, 1)
    return findings


@contextmanager
def own_database(server: str | None, home: Path) -> Iterator[str]:
    """Yield the URL of an empty database, on a server or as a file."""
    if not server or not server.startswith("postgres"):
        yield f"sqlite:///{home}/kills.sqlite3"
        return
    name = f"peerage_kills_{os.getpid()}"
    parts = urlsplit(server)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        yield urlunsplit(parts._replace(path=f"/{name}"))
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _set_up(url: str, home: Path) -> None:
    os.environ.update(
        {
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PEERAGE_SECRET_KEY": "tests-only-0123456789-abcdefghijklmnopqrstuvwxyz-AB",
            "PEERAGE_STATE_DIR": str(home),
            "PEERAGE_DATABASE_URL": url,
        }
    )
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("init_keys", stdout=sys.stderr)


def _close() -> None:
    from django.db import connections  # noqa: PLC0415 -- settings came after the start

    connections.close_all()


def _start(*processes: ForkProcess) -> None:
    # A connection must not be shared by two processes.
    _close()
    for process in processes:
        process.start()


def _write(enough: Event, number: int) -> None:
    from tests.audit.sealing.writing import write_event_batches  # noqa: PLC0415 -- so

    write_event_batches(enough.is_set, random.Random(number))  # noqa: S311 -- sizes


def _seal(ready: Event) -> None:
    from audit.models import Log  # noqa: PLC0415 -- settings came after the start
    from audit.sealing.sealer import Sealer  # noqa: PLC0415 -- the same

    sealer = Sealer(Log.CONTROL)
    ready.set()
    while True:
        sealer.seal(datetime.now(UTC))  # noqa: TID251 -- a process is an edge
        # SQLite's writers look every now and then whether the lock is free.
        time.sleep(0.003)


def _compare(findings: Findings) -> None:
    from tests.audit.sealing.writing import compare  # noqa: PLC0415 -- settings again

    compare(findings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
