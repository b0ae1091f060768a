"""Faults of the portal's side before many gateways, each a process of its own.

The gateways are `tests.lab.crowd`: signed requests, the agent's own backoff, no
kernel. PostgreSQL and Redis are servers of the test's own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.lab.crowd import Crowd
from tests.lab.lone import LonePortal, RunningCrowd, free_environment, populated
from tests.lab.postgresql import postgresql
from tests.lab.processes import Processes, wait_until
from tests.lab.redis import LOOPBACK, RedisServer

ROOT = Path(__file__).parents[2]


@dataclass(slots=True, kw_only=True)
class Scene:
    """A portal that serves, and a crowd that waits on it."""

    portal: LonePortal
    crowd: RunningCrowd
    session: str
    folder: Path

    def manage(self, *words: str) -> subprocess.Popen[str]:
        """Start a management command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.portal.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def done(self, *words: str) -> str:
        """Run a management command; return what it said."""
        process = self.manage(*words)
        text, _ = process.communicate(timeout=60)
        assert process.returncode == 0, text
        return text

    def page(self, path: str) -> int:
        """Ask for a page as the administrator; return the status."""
        cookies = {"peerage": self.session}
        with httpx.Client(trust_env=False, cookies=cookies, timeout=20) as browser:
            return browser.get(f"{self.portal.url}{path}").status_code


@contextmanager
def scene(
    folder: Path, *, gateways: int, people: int, devices: int = 1, redis: str = ""
) -> Iterator[Scene]:
    """Populate a portal, serve it, and let every gateway wait."""
    with ExitStack() as closing:
        database = closing.enter_context(postgresql())
        processes = Processes(folder)
        closing.callback(processes.stop_all)
        environment = free_environment(folder, database=database, redis=redis)
        portal = LonePortal(processes, environment)
        portal.manage("init")
        members, session = populated(portal, gateways, people, devices)
        portal.start()
        crowd = RunningCrowd(
            processes, Crowd(host=LOOPBACK, port=portal.port, members=members)
        )
        closing.callback(crowd.stop)
        crowd.settle()
        yield Scene(portal=portal, crowd=crowd, session=session, folder=folder)


def test_fault_03_without_redis_everything_works_and_revocation_is_enforced(
    tmp_path: Path,
) -> None:
    redis = RedisServer(tmp_path)
    redis.start()
    try:
        with scene(tmp_path, gateways=3, people=3, redis=redis.url) as made:
            wait = ("--reason", "x", "--wait", "--timeout", "10")
            # With Redis, as a control.
            assert "enforced" in made.done("revoke_user", "p1", *wait)
            revoking = made.manage("revoke_user", "p2", *wait)
            redis.kill()
            text, _ = revoking.communicate(timeout=60)
            assert revoking.returncode == 0, text
            assert text.count("enforced after") == 3
            # And from the beginning without.
            assert made.done("revoke_user", "p3", *wait).count("enforced after") == 3
            assert made.page("/devices/") == 200
            assert made.page("/accounts/login/") in {200, 302}
            _enroll(made)
    finally:
        redis.kill()


@pytest.mark.long
def test_fault_57_a_thousand_people_are_revoked_at_once(tmp_path: Path) -> None:
    with scene(tmp_path, gateways=5, people=1000, devices=2) as made:
        path = tmp_path / "people"
        names = (f"p{number}\n" for number in range(1, 1001))
        path.write_text("".join(names), encoding="utf-8")
        words = ("revoke_users", str(path), "--reason", "stolen directory")
        assert "2000 devices" in made.done(*words)
        assert not made.crowd.since(0, what="notified")
        begun = time.time_ns()
        made.done(*words, "--people", "1000")
        wait_until(
            lambda: len(made.crowd.since(begun, what="notified")) == 5,
            what="every gateway to hear",
            seconds=5,
        )
        # One notice each, not a thousand, and a snapshot with nobody in it.
        told = [line for line in made.crowd.arrivals if "notified" in line]
        assert len(told) == 5
        wait_until(
            lambda: len(made.crowd.since(begun)) == 5, what="snapshots", seconds=30
        )


@pytest.mark.long
def test_fault_59_all_are_served_after_the_portal_was_restarted(
    tmp_path: Path,
) -> None:
    with scene(tmp_path, gateways=200, people=5) as made:
        made.portal.stop(kill=True)
        wait_until(
            lambda: made.crowd.standing["settled"] == 0, what="everybody to notice"
        )
        before = made.crowd.standing["answers"]
        made.portal.start()
        made.crowd.settle(60)
        troubles = made.crowd.standing["troubles"]
        # Refused connections are what a portal that is down gives; it gives no error.
        assert not [name for name in troubles if name.split(": ")[1].isdecimal()]
        made.done("revoke_user", "p1", "--reason", "x", "--wait", "--timeout", "20")
        wait_until(
            lambda: made.crowd.standing["answers"] >= before + 200, what="answers"
        )
        assert made.crowd.standing["served"] == 200
        assert "Traceback" not in made.portal.said()


def _enroll(made: Scene) -> None:
    token = made.done("create_gateway", "new", "--endpoint", "new.example.com:51820")
    subprocess.run(
        [
            *(sys.executable, "-m", "gateway", "enroll", "--portal", made.portal.url),
            *("--token", token.split()[-1], "--insecure-http"),
            *("--state", str(made.folder / "state")),
        ],
        cwd=ROOT,
        check=True,
    )
