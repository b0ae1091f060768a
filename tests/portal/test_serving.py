"""The portal in one process, for real: inherited sockets, jobs, a graceful end."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.signing import Request, signed_headers

ROOT = Path(__file__).parents[2]
NOW = "2026-11-23 12:00:00"


class PortalProcess:
    """`manage.py runportal` with a state directory of its own."""

    def __init__(self, state: Path) -> None:
        """Prepare the state and two sockets; nothing runs yet."""
        self.state = state
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.ports = [server.getsockname()[1] for server in self.sockets]
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PEERAGE_SECRET_KEY": "tests-only-0123456789abcdefghijklmnopqrstuvwxyz",
            "PEERAGE_STATE_DIR": str(state),
            "PEERAGE_DATABASE_URL": f"sqlite:///{state}/peerage.sqlite3",
            "PEERAGE_INSECURE_HTTP": "1",
            "PEERAGE_BASE_URL": f"http://127.0.0.1:{self.ports[0]}",
            "PEERAGE_DEBUG": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def manage(self, *words: str) -> None:
        """Run a command to its end."""
        command = [sys.executable, "manage.py", *words]
        subprocess.run(
            command, cwd=ROOT, env=self.environment, check=True, capture_output=True
        )

    def start(self) -> None:
        """Hand the sockets over and wait for an answer."""
        numbers = [server.fileno() for server in self.sockets]
        options = [word for number in numbers for word in ("--fd", str(number))]
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "runportal", *options],
            cwd=ROOT,
            env=self.environment,
            pass_fds=numbers,
            stderr=subprocess.DEVNULL,
        )
        for server in self.sockets:
            server.close()

    def get(
        self, path: str, headers: dict[str, str] | None = None, *, port: int = 0
    ) -> tuple[int, bytes]:
        """Ask one of the sockets."""
        asked = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=30)
        try:
            asked.request("GET", path, headers=headers or {})
            answer = asked.getresponse()
            return answer.status, answer.read()
        finally:
            asked.close()

    def stop(self) -> int:
        """Ask it to end; return the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def enrolled_gateway(self) -> Ed25519PrivateKey:
        """Write an enrolled gateway into the database; return its private key."""
        key = Ed25519PrivateKey.generate()
        with sqlite3.connect(self.state / "peerage.sqlite3") as database:
            database.execute(
                "INSERT INTO peers_gateway (name, endpoint_host, endpoint_port, state,"
                " signing_key, epoch, created_at, enrolled_at, agent_version)"
                " VALUES ('gw1', 'gw1.test', 51820, 'enrolled', ?, 1, ?, ?, '')",
                (key.public_key().public_bytes_raw(), NOW, NOW),
            )
        database.close()
        return key

    def snapshots(self) -> int:
        """Return how many snapshots were published."""
        database = sqlite3.connect(self.state / "peerage.sqlite3", timeout=10)
        [(count,)] = database.execute("SELECT count(*) FROM policies_snapshot")
        database.close()
        return int(count)


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[PortalProcess]:
    """A portal that runs, with one enrolled gateway."""
    running = PortalProcess(tmp_path)
    running.manage("init")
    yield running
    if running.process is not None and running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def wait_for_snapshot(portal: PortalProcess) -> None:
    for _ in range(150):
        if portal.snapshots():
            return
        time.sleep(0.1)
    pytest.fail("no job published a snapshot")


def test_one_process_serves_runs_jobs_and_ends_gracefully(
    portal: PortalProcess,
) -> None:
    key = portal.enrolled_gateway()
    portal.start()
    for port in (0, 1):
        assert portal.get("/healthz", port=port) == (200, b'{"status": "ok"}')
    # Nobody polls: only the embedded beat and worker can have done this.
    wait_for_snapshot(portal)
    path = "/api/gateway/v1/snapshot?after=1&epoch=1"
    headers = signed_headers(
        Request(
            method="GET", url=portal.environment["PEERAGE_BASE_URL"] + path, body=b""
        ),
        key=key,
        keyid="gw_1",
        sequence=1,
        created=int(datetime.now(UTC).timestamp()),  # noqa: TID251 -- a test's edge
        nonce=b"0123456789abcdef",
    )
    answers: list[tuple[int, bytes]] = []
    waiting = threading.Thread(target=lambda: answers.append(portal.get(path, headers)))
    waiting.start()
    time.sleep(1)
    assert answers == []
    assert portal.stop() == 0
    waiting.join(5)
    # Whoever waited was let go with a lease, not with a broken connection.
    assert answers[0][0] == 200
    assert b'"snapshot":null' in answers[0][1]
