"""How soon gateways hear that many people are revoked at once, by one command.

A portal process, PostgreSQL, waiting gateways: `script/bench revoke_many [--people N]
[--devices N] [--gateways N]`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.lab.crowd import Crowd
from tests.lab.lone import LonePortal, RunningCrowd, free_environment, populated
from tests.lab.postgresql import postgresql
from tests.lab.processes import PYTHON, LabError, Processes, wait_until
from tests.lab.redis import LOOPBACK, RedisServer

TARGET_SECONDS = 5


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="script/bench revoke_many")
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--devices", type=int, default=10, help="of each person")
    parser.add_argument("--gateways", type=int, default=10)
    chosen = parser.parse_args(arguments)
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        database = closing.enter_context(postgresql())
        redis = RedisServer(folder)
        redis.start()
        closing.callback(redis.kill)
        processes = Processes(folder)
        closing.callback(processes.stop_all)
        environment = free_environment(folder, database=database, redis=redis.url)
        portal = LonePortal(processes, environment)
        portal.manage("init")
        members, _ = populated(portal, chosen.gateways, chosen.people, chosen.devices)
        portal.start()
        crowd = RunningCrowd(
            processes, Crowd(host=LOOPBACK, port=portal.port, members=members)
        )
        closing.callback(crowd.stop)
        crowd.settle()
        _measure(portal, crowd, folder, chosen.people, chosen.devices)
    return 0


def _measure(
    portal: LonePortal, crowd: RunningCrowd, folder: Path, people: int, devices: int
) -> None:
    path = folder / "people"
    names = (f"p{number}\n" for number in range(1, people + 1))
    path.write_text("".join(names), encoding="utf-8")
    command = [PYTHON, "manage.py", "revoke_users", str(path), "--reason", "bench"]
    begun = time.time_ns()
    done = subprocess.run(
        [*command, "--people", str(people)],
        env={**os.environ, **portal.environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    ended = time.time_ns()
    everybody = len(crowd.members)
    wait_until(
        lambda: len(crowd.since(begun, what="notified")) == everybody,
        what="every gateway to hear",
        seconds=60,
    )
    wait_until(
        lambda: len(crowd.since(begun)) == everybody, what="snapshots", seconds=120
    )
    took = re.search(r"committed after ([0-9]+) ms", done.stdout)
    heard = [a["arrived_ns"] for a in crowd.since(begun, what="notified").values()]
    after = [answer["arrived_ns"] for answer in crowd.since(begun).values()]
    print(
        f"{people:,} people, {people * devices:,} devices, {everybody} gateways,"
        f" PostgreSQL; load {os.getloadavg()[0]:.1f}; seconds\n"
        f"from the order to the commit          {int(took[1]) / 1e3:6.2f}"
        if took
        else "the command does not say when it was committed"
    )
    for what, moment in (
        ("the first gateway was told", min(heard)),
        (f"the last one (target: {TARGET_SECONDS})", max(heard)),
        ("the command ended", ended),
        ("the last gateway had its snapshot", max(after)),
    ):
        print(f"from the command's start: {what:36}{(moment - begun) / 1e9:6.2f}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as exc:
        sys.exit(f"script/bench revoke_many: {exc}")
