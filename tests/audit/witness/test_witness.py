"""The witness as a process of its own, over HTTP, killed and started again."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from audit.tlog.cosignature import parse_witness_key
from audit.tlog.note import verify_note
from audit.witness.__main__ import server_of
from audit.witness.keeping import KEY, KeepingError, Witness, create
from tests.audit.witness.log import MemoryLog

ROOT = Path(__file__).resolve().parents[3]
NAME = "witness.test"


@contextmanager
def serving(directory: Path, log: MemoryLog) -> Iterator[tuple[str, int]]:
    """Run a witness; yield its host and port, then kill it."""
    # Django must not be needed, nor anything that lies beside the program.
    code = (
        "import runpy, sys; sys.modules['django'] = None; sys.argv[0] = 'witness';"
        "runpy.run_module('audit.witness', run_name='__main__')"
    )
    words = ["serve", str(directory), "--log", str(log.verifier)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words, "--listen", "127.0.0.1:0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        parse_witness_key(process.stdout.readline().strip())
        parts = urlsplit(process.stdout.readline().strip())
        yield str(parts.hostname), int(parts.port or 0)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def asked(
    place: tuple[str, int], body: bytes, path: str = "/add-checkpoint"
) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(*place, timeout=10)
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        kind = answer.headers.get("Content-Type", "")
        return answer.status, answer.read().decode(), kind
    finally:
        connection.close()


@pytest.mark.enable_socket
def test_a_witness_signs_remembers_and_refuses(tmp_path: Path) -> None:
    key, log = create(tmp_path / "w", NAME), MemoryLog()
    log.add(b"a", b"b", b"c")
    with serving(tmp_path / "w", log) as place:
        status, line, _ = asked(place, log.request(0))
        assert status == 200
        verify_note((log.note() + line).encode(), [key])
        assert asked(place, log.request(0)) == (409, "3\n", "text/x.tlog.size")
        assert asked(place, b"nonsense")[0] == 400
        assert asked(place, log.request(3), "/else")[0] == 404
        assert asked(place, MemoryLog(origin="x").request(0))[0] == 404
        assert asked(place, MemoryLog().request(0))[0] == 403
    # It was killed. What it has signed, it knows.
    other = MemoryLog(key=log.key)
    other.add(b"x", b"b", b"c", b"d")
    log.add(b"d")
    with serving(tmp_path / "w", log) as place:
        assert asked(place, other.request(3))[0] == 422
        assert asked(place, log.request(3))[0] == 200
    (evidence,) = (tmp_path / "w").glob("*.fork")
    assert evidence.read_bytes() == other.request(3)


@pytest.mark.enable_socket
def test_who_drips_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path, NAME)
    monkeypatch.setattr("audit.witness.__main__.SECONDS", 0.5)
    witness = Witness(tmp_path, [])
    server = server_of(witness, ("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        host, port = server.server_address[:2]
        with socket.create_connection((str(host), port), timeout=20) as slow:
            slow.sendall(b"POST /add-checkpoint HTTP/1.1\r\n")
            assert slow.recv(1) == b""
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        witness.close()


def test_what_was_not_written_down_is_not_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path, NAME)
    log = MemoryLog()
    log.add(b"a")
    witness = Witness(tmp_path, [log.verifier])

    def full(_path: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("audit.witness.keeping.write_durably", full)
    with pytest.raises(OSError, match="No space"):
        witness.add_checkpoint(log.request(0), at=1)
    witness.close()


def test_a_directory_has_one_witness(tmp_path: Path) -> None:
    create(tmp_path, NAME)
    witness = Witness(tmp_path, [])
    with pytest.raises(KeepingError, match="another witness"):
        Witness(tmp_path, [])
    witness.close()


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    create(tmp_path, NAME)
    with pytest.raises(KeepingError, match="already"):
        create(tmp_path, NAME)
    (tmp_path / KEY).chmod(0o640)
    with pytest.raises(KeepingError, match="chmod 600"):
        Witness(tmp_path, [])
