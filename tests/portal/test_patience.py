"""F14: who says one byte a minute is not waited for, and keeps nobody out."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from uvicorn.server import ServerState

from gateway.signing import Request, signed_headers
from portal import patience
from portal.patience import ImpatientProtocol, Patience
from tests.portal.test_serving import PortalProcess

FILES = 200
STRANGERS = 260


class Connection:
    """A connection that notes that it was closed."""

    def __init__(self) -> None:
        """Be open."""
        self.is_open = True

    def give_up(self) -> None:
        """Close."""
        self.is_open = False


def test_f14_the_one_waited_for_longest_closes() -> None:
    shared = Patience(descriptors=16)
    made = [Connection() for _ in range(6)]
    for connection in made:
        shared.opened(connection)
    assert [c.is_open for c in made] == [False, False, True, True, True, True]


def test_f14_who_is_answered_is_not_closed_for_who_is_slow() -> None:
    shared = Patience(descriptors=16)
    gateway = Connection()
    shared.opened(gateway)
    shared.is_answered(gateway)
    for _ in range(50):
        shared.opened(Connection())
    assert gateway.is_open


def test_f14_what_is_idle_longest_makes_room() -> None:
    shared = Patience(descriptors=16)
    made = [Connection() for _ in range(13)]
    for connection in made:
        shared.opened(connection)
        shared.is_answered(connection)
        shared.rests(connection)
    assert [c.is_open for c in made] == [False, *[True] * 12]


def test_an_idle_connection_that_speaks_again_is_waited_for_anew() -> None:
    shared = Patience(descriptors=16)
    gateway = Connection()
    shared.opened(gateway)
    shared.is_answered(gateway)
    shared.rests(gateway)
    shared.speaks(gateway)
    for _ in range(4):
        shared.opened(Connection())
    assert not gateway.is_open


class Small(PortalProcess):
    """A portal that may open few files."""

    def start(self) -> None:
        """Start it, and take the limit of files away from what follows."""
        numbers = [server.fileno() for server in self.sockets]
        options = [word for number in numbers for word in ("--fd", str(number))]
        self.process = subprocess.Popen(
            [
                *("prlimit", f"--nofile={FILES}:{FILES}"),
                *(sys.executable, "manage.py", "runportal", *options),
            ],
            cwd=Path(__file__).parents[2],
            env=self.environment,
            pass_fds=numbers,
            stderr=subprocess.DEVNULL,
        )
        for server in self.sockets:
            server.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """A portal with one enrolled gateway."""
    running = Small(tmp_path)
    running.manage("init")
    yield running
    if running.process is not None:
        running.process.kill()
        running.process.wait()


def poll(portal: PortalProcess, key: Ed25519PrivateKey, sequence: int) -> int:
    path = "/api/gateway/v1/snapshot?after=0&epoch=1"
    url = portal.environment["PEERAGE_BASE_URL"] + path
    headers = signed_headers(
        Request(method="GET", url=url, body=b""),
        key=key,
        keyid="gw_1",
        sequence=sequence,
        created=int(datetime.now(UTC).timestamp()),  # noqa: TID251 -- a test's edge
        nonce=bytes(16),
    )
    return portal.get(path, headers)[0]


def slow(portal: PortalProcess, *, begun: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", portal.ports[0]), timeout=10)
    made.sendall(begun)
    return made


def is_closed(stranger: socket.socket) -> bool:
    try:
        return stranger.recv(1) == b""
    except ConnectionResetError:
        return True


HEAD = b"POST /api/gateway/v1/enroll HTTP/1.1\r\nHost: x\r\n"
BODY = HEAD + b"Content-Type: application/json\r\nContent-Length: 900\r\n\r\n{"


@pytest.mark.parametrize("begun", [b"", HEAD, BODY], ids=["nothing", "head", "body"])
def test_f14_slow_strangers_at_enrolment_do_not_reach_the_gateways(
    small: Small, begun: bytes
) -> None:
    key = small.enrolled_gateway()
    small.start()
    assert small.get("/healthz")[0] == 200
    assert poll(small, key, 1) == 200
    with contextlib.ExitStack() as open_:
        strangers = [
            open_.enter_context(slow(small, begun=begun)) for _ in range(STRANGERS)
        ]
        for sequence in range(2, 5):
            assert poll(small, key, sequence) == 200
        # Whoever really enrols is answered, too.
        asked = http.client.HTTPConnection("127.0.0.1", small.ports[0], timeout=10)
        asked.request("POST", "/api/gateway/v1/enroll", b"{}")
        assert asked.getresponse().status == 400
        asked.close()
        # The control: the first were closed, the last still wait.
        assert is_closed(strangers[0])
        strangers[-1].settimeout(0.2)
        with pytest.raises(TimeoutError):
            strangers[-1].recv(1)


def test_f14_a_request_that_does_not_end_is_closed_after_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One byte every tenth of a second is not an end."""
    monkeypatch.setattr(patience, "REQUEST_SECONDS", 0.5)
    assert asyncio.run(dripped(b"GET / HT")) == b""
    assert asyncio.run(dripped(BODY)) == b""


async def dripped(begun: bytes) -> bytes:
    """Serve nothing to a connection that drips; return what it hears when it ends."""
    ImpatientProtocol.patience = Patience(descriptors=64)
    config = uvicorn.Config(nothing, log_config=None, lifespan="off")
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: ImpatientProtocol(config, ServerState(), {}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(begun)
    heard = asyncio.ensure_future(reader.read())
    async with asyncio.timeout(10):
        while not heard.done():
            with contextlib.suppress(ConnectionError):
                writer.write(b"x")
                await writer.drain()
            await asyncio.sleep(0.1)
    writer.close()
    server.close()
    try:
        return heard.result()
    except ConnectionResetError:
        return b""


async def nothing(_scope: object, receive: Any, _send: object) -> None:  # noqa: ANN401 -- ASGI
    """Wait for a body that never ends."""
    while (await receive())["type"] != "http.disconnect":
        pass
