"""Programs the lab starts: each has a log, each is ended by its process id.

The kernel kills them too when the lab itself dies (`setpriv --pdeathsig`), so an
interrupted run leaves nothing behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

PYTHON: Final = sys.executable
"""The interpreter of this virtual environment, by its full path."""

GRACE_SECONDS: Final = 5.0


class LabError(Exception):
    """The lab could not do what it was asked; the message is for a person."""


class Processes:
    """Every running program of one lab."""

    def __init__(self, logs: Path) -> None:
        """Keep logs in that folder."""
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a program under a name; its output goes to `<name>.log`."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C is for the lab to handle
            )
        self._running[name] = process
        return process

    def start_talking(
        self, name: str, command: Sequence[str], text: str
    ) -> subprocess.Popen[bytes]:
        """Start a program that reads `text`; its standard output is the caller's."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._running[name] = process
        assert process.stdin is not None
        process.stdin.write(text.encode())
        process.stdin.close()
        return process

    def run_to_end(
        self, name: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Run a program to its end.

        Raises:
            LabError: it failed; its log is named.
        """
        process = self.start(name, command, environment=environment)
        if process.wait(120):
            msg = f"{' '.join(command)} failed:\n{self.tail(name)}"
            raise LabError(msg)

    def is_running(self, name: str) -> bool:
        """Return whether a program of that name runs."""
        process = self._running.get(name)
        return process is not None and process.poll() is None

    def pid(self, name: str) -> int:
        """Return the process id of a running program.

        Raises:
            LabError: it does not run.
        """
        process = self._running.get(name)
        if process is None or process.poll() is not None:
            msg = f"{name} does not run"
            raise LabError(msg)
        return process.pid

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End one program: politely, or at once as a crash would."""
        process = self._running.pop(name, None)
        if process is None:
            return
        _signal(process, kill=kill)
        _reap(process)

    def stop_all(self) -> None:
        """End everything, the youngest first."""
        processes = list(reversed(self._running.values()))
        self._running.clear()
        for process in processes:
            _signal(process, kill=False)
        for process in processes:
            _reap(process)

    def wait_for(
        self,
        name: str,
        condition: Callable[[], bool],
        *,
        what: str,
        seconds: float = 30,
    ) -> None:
        """Wait until `condition` holds.

        Raises:
            LabError: it never did, or the program ended before; its log is named.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            process = self._running.get(name)
            if process is None or process.poll() is not None:
                msg = f"{name} ended before {what}:\n{self.tail(name)}"
                raise LabError(msg)
            if time.monotonic() > deadline:
                msg = f"{what}: not within {seconds:.0f} s:\n{self.tail(name)}"
                raise LabError(msg)
            time.sleep(0.02)

    def log(self, name: str) -> Path:
        """Return where a program's output goes."""
        return self._logs / f"{name}.log"

    def tail(self, name: str, lines: int = 15) -> str:
        """Return the end of a program's log with its path."""
        path = self.log(name)
        text = path.read_text(encoding="utf-8", errors="replace")
        return "\n".join([*text.splitlines()[-lines:], f"(all of it: {path})"])


def wait_until(
    condition: Callable[[], bool], *, what: str, seconds: float = 20
) -> None:
    """Wait until `condition` holds.

    Raises:
        LabError: it never did.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            msg = f"{what}: not within {seconds:.0f} s"
            raise LabError(msg)
        time.sleep(0.05)


def _signal(process: subprocess.Popen[bytes], *, kill: bool) -> None:
    if process.poll() is None:
        if kill:
            process.kill()
        else:
            process.terminate()


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
