"""The gateways' way through the portal: few threads, the same headers, no cookies."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import OperationalError
from pytest_django import Settings

from audit.errors import NoRoomError
from peers.errors import GatewayRequestError
from peers.models import Gateway
from policies import connections, notifier
from policies.api import exchange
from policies.models import Snapshot
from portal import lane
from portal.asgi import application
from portal.lane import GatewayLane
from tests.policies.api.agents import SigningAgent
from tests.policies.asynchronous import asynchronous
from tests.policies.makers import publish

pytestmark = pytest.mark.django_db(transaction=True)
Communicator: Any = ApplicationCommunicator
API = "/api/gateway/v1/"


def asked(path: str, headers: dict[str, str], *, method: str = "GET") -> Any:  # noqa: ANN401 -- untyped
    """Return a request to the portal's ASGI application."""
    path, _, query = path.partition("?")
    fields = {"Host": "testserver", **headers}
    return Communicator(
        application,
        {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": f"{API}{path}",
            "query_string": query.encode(),
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in fields.items()
            ],
            "client": ("127.0.0.1", 9),
            "server": ("testserver", 80),
        },
    )


async def answer(
    path: str, headers: dict[str, str], body: bytes = b"", *, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body."""
    talk = asked(path, headers, method=method)
    await talk.send_input({"type": "http.request", "body": body})
    start: Any = await talk.receive_output(5)
    content: Any = await talk.receive_output(5)
    await talk.send_input({"type": "http.disconnect"})
    await talk.wait(5)
    fields = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], fields, content["body"]


@pytest.fixture
def agent(gw1: Gateway) -> SigningAgent:
    """The agent of gw1."""
    return SigningAgent(gw1)


def test_poll_is_answered_with_the_headers_of_every_page(agent: SigningAgent) -> None:
    publish()
    path = "snapshot?after=0&epoch=1"

    @asynchronous
    async def scenario() -> None:
        status, fields, body = await answer(path, agent.headers("GET", path))
        assert status == 200
        assert b'"lease"' in body
        assert fields["Content-Length"] == str(len(body))
        assert fields["X-Content-Type-Options"] == "nosniff"
        assert fields["X-Frame-Options"] == "DENY"
        assert len(fields["X-Request-ID"]) == 32
        assert "no-store" in fields["Cache-Control"]

    scenario()


def test_reports_of_many_at_once_take_a_few_threads(agent: SigningAgent) -> None:
    before = threading.active_count()
    headers = [agent.headers("POST", "names", b"{}") for _ in range(60)]

    @asynchronous
    async def scenario() -> None:
        found = await asyncio.gather(
            *(answer("names", h, b"{}", method="POST") for h in headers)
        )
        # Out of order they are replays; nobody is turned away for want of a thread.
        assert {status for status, _, _ in found} <= {409, 422}
        assert threading.active_count() - before <= 16

    scenario()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "nothing", 404), ("PUT", "snapshot", 405), ("GET", "acks", 405)],
)
def test_what_is_not_there_is_refused(method: str, path: str, status: int) -> None:
    @asynchronous
    async def scenario() -> None:
        found, fields, _ = await answer(path, {}, method=method)
        assert found == status
        assert fields["X-Content-Type-Options"] == "nosniff"
        assert len(fields["X-Request-ID"]) == 32
        assert "Set-Cookie" not in fields

    scenario()


def test_another_host_is_refused_whatever_it_asks() -> None:
    @asynchronous
    async def scenario() -> None:
        headers = {"Host": "elsewhere.example"}
        assert (await answer("enroll", headers, b"{}", method="POST"))[0] == 400

    scenario()


def test_a_body_without_end_is_not_kept(settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

    @asynchronous
    async def scenario() -> None:
        talk = asked("evidence", {}, method="POST")
        part = {"type": "http.request", "body": b"x" * 400, "more_body": True}
        for _ in range(3):
            await talk.send_input(part)
        start: Any = await talk.receive_output(5)
        assert start["status"] == 413
        await talk.receive_output(5)
        await talk.wait(5)

    scenario()


def test_unsigned_request_is_refused(agent: SigningAgent) -> None:
    assert agent

    @asynchronous
    async def scenario() -> None:
        assert (await answer("snapshot?after=0&epoch=1", {}))[0] == 401

    scenario()
    assert not Snapshot.objects.exists()


def test_cookies_open_nothing_and_set_nothing(agent: SigningAgent) -> None:
    assert agent

    @asynchronous
    async def scenario() -> None:
        status, fields, _ = await answer("snapshot", {"Cookie": "peerage=x"})
        assert status == 401
        assert "Set-Cookie" not in fields

    scenario()


def test_plain_http_is_sent_to_https(settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    lane = GatewayLane()  # settings are read when it is made

    @asynchronous
    async def scenario() -> None:
        talk = asked("snapshot", {})
        talk = Communicator(lane, talk.scope)
        await talk.send_input({"type": "http.request", "body": b""})
        start: Any = await talk.receive_output(5)
        assert start["status"] == 301
        await talk.receive_output(5)
        await talk.send_input({"type": "http.disconnect"})
        await talk.wait(5)

    scenario()


def test_gateway_that_goes_away_waits_no_more(agent: SigningAgent) -> None:
    publish()
    path = "snapshot?after=1&epoch=1"

    @asynchronous
    async def scenario() -> None:
        talk = asked(path, agent.headers("GET", path))
        await talk.send_input({"type": "http.request", "body": b""})
        while not len(notifier.hub):  # noqa: ASYNC110 -- the hub tells nobody
            await asyncio.sleep(0.01)
        await talk.send_input({"type": "http.disconnect"})
        await talk.wait(5)
        assert len(notifier.hub) == 0

    scenario()


def test_who_goes_away_before_asking_is_forgotten() -> None:
    @asynchronous
    async def scenario() -> None:
        talk = asked("snapshot", {})
        await talk.send_input({"type": "http.disconnect"})
        await talk.wait(5)

    scenario()


def test_who_is_suspect_is_answered_by_the_strangers_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: list[str] = []

    def refused(*_: object, **__: object) -> None:
        names.append(threading.current_thread().name)
        raise GatewayRequestError("no")

    monkeypatch.setattr(lane, "is_suspect", lambda _request: True)
    monkeypatch.setattr(exchange, "authenticate_gateway", refused)

    @asynchronous
    async def scenario() -> None:
        for path, method in (("snapshot?after=0", "GET"), ("acks", "POST")):
            status, _, _ = await answer(path, {}, method=method)
            assert status == 401

    scenario()
    assert len(names) == 2
    assert all(name.startswith("stranger") for name in names)


def test_more_strangers_than_may_wait_are_told_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane, "is_suspect", lambda _request: True)
    monkeypatch.setattr(connections, "_crowd", connections.Crowd(0))

    @asynchronous
    async def scenario() -> None:
        for path, method in (("snapshot?after=0", "GET"), ("acks", "POST")):
            status, fields, _ = await answer(path, {}, method=method)
            assert status == 429
            assert fields["Retry-After"] == "60"

    scenario()


def test_nobody_fills_the_disk_with_a_persons_request(settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

    @asynchronous
    async def scenario() -> None:
        talk = asked("x", {}, method="POST")
        talk.scope["path"] = "/api/v1/devices/"
        for _ in range(3):
            await talk.send_input(
                {"type": "http.request", "body": bytes(500), "more_body": True}
            )
        start: Any = await talk.receive_output(5)
        assert start["status"] == 413
        assert (b"Connection", b"close") in start["headers"]

    scenario()


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (NoRoomError("4 MiB left"), 507),
        (OperationalError("database or disk is full"), 507),
        (OperationalError("database is locked"), 500),
    ],
    ids=["brake", "full", "other"],
)
def test_what_finds_no_room_stays_with_the_gateway(
    raised: Exception,
    status: int,
    agent: SigningAgent,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ingest(**_: object) -> int:
        raise raised

    monkeypatch.setattr("policies.services.ingest_evidence", ingest)
    body = b'{"records":[]}'

    @asynchronous
    async def scenario() -> None:
        headers = agent.headers("POST", "evidence", body)
        found, _, _ = await answer("evidence", headers, body, method="POST")
        assert found == status

    scenario()
