"""A real portal process by itself, and a crowd of gateways as another.

No identity provider, no network namespaces, no kernel: what is tried here is one
portal before many gateways, or without its Redis. The caller writes rows through a
Django of its own on the same database.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx

from tests.lab.crowd import Crowd, Member
from tests.lab.processes import PYTHON, Processes, wait_until
from tests.lab.redis import LOOPBACK, free_port

Arrival: TypeAlias = "dict[str, int]"
KIBIBYTES: Final = re.compile(r"^(VmRSS|VmHWM):\s+(\d+) kB$", re.MULTILINE)


def settings_of(
    folder: Path, *, database: str, port: int, redis: str = ""
) -> dict[str, str]:
    """Return the environment of a portal whose state lies in `folder`."""
    return {
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "PEERAGE_SECRET_KEY": secrets.token_urlsafe(48),
        "PEERAGE_STATE_DIR": str(folder / "portal"),
        "PEERAGE_DATABASE_URL": database,
        "PEERAGE_REDIS_URL": redis,
        "PEERAGE_BASE_URL": f"http://{LOOPBACK}:{port}",
        "PEERAGE_ALLOWED_HOSTS": LOOPBACK,
        "PEERAGE_INSECURE_HTTP": "1",
    }


class LonePortal:
    """`runportal` on a port of its own, to be killed and started again."""

    def __init__(self, processes: Processes, environment: Mapping[str, str]) -> None:
        """Take the environment of `settings_of`; nothing runs yet."""
        self._processes = processes
        self.environment = dict(environment)
        self.url = environment["PEERAGE_BASE_URL"]
        self.port = int(self.url.rpartition(":")[2])
        self._process: subprocess.Popen[bytes] | None = None

    def manage(self, *words: str) -> None:
        """Run a management command to its end."""
        self._processes.run_to_end(
            f"manage-{words[0]}", [PYTHON, "manage.py", *words], self.environment
        )

    def start(self, *, changed: Mapping[str, str] | None = None) -> None:
        """Start, and wait until it answers."""
        self.begin(changed=changed)
        self._processes.wait_for("portal", self.answers, what="the portal", seconds=60)

    def begin(self, *, changed: Mapping[str, str] | None = None) -> None:
        """Start, and do not wait."""
        self._process = self._processes.start(
            "portal",
            [PYTHON, "manage.py", "runportal", "--port", str(self.port)],
            environment={**self.environment, **(changed or {})},
        )

    def stop(self, *, kill: bool = False) -> None:
        """Stop politely, or as a crash would."""
        self._processes.stop("portal", kill=kill)

    def answers(self) -> bool:
        """Return whether it is well."""
        try:
            return _get(f"{self.url}/healthz").status_code == 200
        except httpx.HTTPError:
            return False

    def memory(self) -> tuple[float, float]:
        """Return the process's resident memory, now and at most, in MiB."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        found = {name: int(kib) / 1024 for name, kib in KIBIBYTES.findall(status)}
        return found["VmRSS"], found["VmHWM"]

    def processor(self) -> float:
        """Return the processor time it has used, in seconds."""
        assert self._process is not None
        text = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / 100

    def said(self) -> str:
        """Return its log."""
        return self._processes.log("portal").read_text(encoding="utf-8")


class RunningCrowd:
    """The crowd as a process, and what it has told."""

    def __init__(self, processes: Processes, crowd: Crowd) -> None:
        """Start it."""
        self.members: Sequence[Member] = crowd.members
        self.arrivals: list[Arrival] = []
        self.standing: dict[str, Any] = {"settled": 0}
        self._process = processes.start_talking(
            "crowd", [PYTHON, "-m", "tests.lab.crowd"], crowd.text()
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def settle(self, seconds: float = 120) -> None:
        """Wait until gateways have been waiting for a second, and told everything.

        Nine of ten: of many, some ask anew at any time.
        """
        # Each waits twice: for a snapshot, and for a notice.
        most = 2 * len(self.members) * 9 // 10
        wait_until(
            lambda: self.standing["settled"] >= most and not self.standing["telling"],
            what="every gateway to wait",
            seconds=seconds,
        )

    def since(self, moment_ns: int, *, what: str = "gateway") -> dict[int, Arrival]:
        """Return each gateway's first snapshot after a moment, or first `notified`."""
        found: dict[int, Arrival] = {}
        for line in list(self.arrivals):
            if what in line and line["arrived_ns"] >= moment_ns:
                found.setdefault(line[what], line)
        return found

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            line = json.loads(text)
            if "arrived_ns" in line:
                self.arrivals.append(line)
            else:
                self.standing = line


def populated(
    portal: LonePortal, gateways: int, people: int, devices: int = 1
) -> tuple[tuple[Member, ...], str]:
    """Fill the portal's database; return its gateways and a session."""
    done = subprocess.run(
        [
            *(PYTHON, "-m", "tests.lab.populate"),
            *(str(number) for number in (gateways, people, devices)),
        ],
        env={**os.environ, **portal.environment},
        stdout=subprocess.PIPE,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return tuple(Member(**member) for member in told["members"]), told["session"]


def free_environment(folder: Path, *, database: str, redis: str = "") -> dict[str, str]:
    """Return `settings_of` with a free port."""
    return settings_of(folder, database=database, port=free_port(), redis=redis)


def _get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=2, trust_env=False)
