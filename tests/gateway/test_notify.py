"""What the supervisor hears, and who nobody listens to."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gateway.notify import Supervisor


@pytest.mark.enable_socket
@pytest.mark.parametrize("is_abstract", [True, False])
def test_the_supervisor_hears_ready_alive_and_stopping(
    tmp_path: Path, *, is_abstract: bool
) -> None:
    name = f"@{tmp_path}/notify" if is_abstract else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        supervisor = Supervisor({"NOTIFY_SOCKET": name})
        supervisor.ready()
        supervisor.alive("gate closing: no\nREADY=0")
        supervisor.stopping()
        heard = [listener.recv(1000).decode() for _ in range(3)]
    assert heard == [
        "READY=1",
        "WATCHDOG=1\nSTATUS=gate closing: noREADY=0",
        "STOPPING=1",
    ]


def test_without_a_supervisor_nothing_is_said() -> None:
    Supervisor({}).ready()


def test_a_supervisor_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    Supervisor({"NOTIFY_SOCKET": f"{tmp_path}/absent"}).alive("well")
