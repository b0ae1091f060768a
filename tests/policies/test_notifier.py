"""A waiting gateway is woken in this process, through Redis, or by the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import Settings
from redis import Redis

from policies import notifier
from policies.connections import turns
from policies.notifier import Hub, Position, RedisNews, Waiter
from tests.lab.redis import RedisServer, free_port
from tests.policies.asynchronous import asynchronous


class Positions:
    """Where gateways stand, as the database would say; counts how often it is asked."""

    def __init__(self) -> None:
        """Stand at generation 1."""
        self.held: dict[int, Position] = {1: (1, 1), 2: (1, 1)}
        self.reads = 0

    def __call__(self) -> dict[int, Position]:
        self.reads += 1
        return dict(self.held)


async def woken_within(waiter: Waiter, seconds: float) -> float:
    started = time.monotonic()
    await waiter.wait(seconds)
    return time.monotonic() - started


@asynchronous
async def test_waiter_is_woken_from_another_thread() -> None:
    hub = Hub(Positions())
    waiter = Waiter(1, (1, 1))
    hub.add(waiter)
    waiting = asyncio.create_task(woken_within(waiter, 5))
    await asyncio.sleep(0)
    await asyncio.to_thread(hub.wake, [1])
    assert await waiting < 0.5


@asynchronous
async def test_waiter_of_another_gateway_sleeps_on() -> None:
    hub = Hub(Positions())
    waiter = Waiter(2, (1, 1))
    hub.add(waiter)
    hub.wake([1])
    assert await woken_within(waiter, 0.2) >= 0.2


@asynchronous
async def test_who_is_woken_without_news_holds_nobody_up() -> None:
    async def look(*, is_last: bool) -> str | None:
        return "nothing" if is_last else None

    ahead = notifier.wait_for_notice(1, (0, 99), look=look, seconds=0.6)
    waiting = asyncio.create_task(ahead)
    await asyncio.sleep(0.05)
    notifier.notice_hub.wake(None)
    await asyncio.sleep(0.05)
    async with asyncio.timeout(0.3):
        await turns.wait()
    assert await waiting == "nothing"


@asynchronous
async def test_database_is_asked_once_a_second_for_all_waiters() -> None:
    positions = Positions()
    hub = Hub(positions)
    waiters = [Waiter(1, (1, 1)) for _ in range(400)]
    for waiter in waiters:
        hub.add(waiter)
    await asyncio.sleep(1.2)
    assert positions.reads == 1
    positions.held[1] = (1, 2)
    delays = await asyncio.gather(*(woken_within(waiter, 3) for waiter in waiters))
    assert max(delays) < 1.2
    assert positions.reads == 2


@asynchronous
async def test_nobody_waiting_costs_nothing() -> None:
    positions = Positions()
    hub = Hub(positions)
    waiter = Waiter(1, (1, 1))
    hub.add(waiter)
    hub.discard(waiter)
    await asyncio.sleep(1.2)
    assert positions.reads == 0
    hub.add(waiter)
    positions.held[1] = (1, 2)
    assert await woken_within(waiter, 3) < 1.2


@asynchronous
async def test_failing_database_is_asked_again() -> None:
    asked: list[bool] = []

    def positions() -> dict[int, Position]:
        asked.append(True)
        if len(asked) == 1:
            raise OSError("gone")
        return {1: (1, 2)}

    hub = Hub(positions)
    waiter = Waiter(1, (1, 1))
    hub.add(waiter)
    assert await woken_within(waiter, 5) < 2.5


@pytest.fixture
def redis_server(tmp_path: Path, settings: Settings) -> Iterator[RedisServer]:
    """A running server that the settings name."""
    server = RedisServer(tmp_path)
    server.start()
    settings.PEERAGE_REDIS_URL = server.url
    yield server
    server.kill()


@pytest.fixture
def other_process() -> Iterator[tuple[Hub, Positions]]:
    """The waiters of another portal process, listening to Redis."""
    positions = Positions()
    hub = Hub(positions)
    news = RedisNews(hub, "published")
    news.listen()
    yield hub, positions
    news.close()


def subscribers(server: RedisServer) -> int:
    with Redis.from_url(server.url) as client:
        found: int = client.pubsub_numsub("peerage:peerage:published")[0][1]
        return found


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(100):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("waited in vain")


def test_redis_wakes_another_process(
    redis_server: RedisServer, other_process: tuple[Hub, Positions]
) -> None:
    hub, positions = other_process
    wait_for(lambda: subscribers(redis_server) == 1)

    @asynchronous
    async def scenario() -> None:
        waiter = Waiter(1, (1, 1))
        hub.add(waiter)
        waiting = asyncio.create_task(woken_within(waiter, 5))
        await asyncio.to_thread(notifier.news.publish, [1])
        assert await waiting < 0.5

    scenario()
    assert positions.reads == 0


def test_lost_redis_costs_a_second_and_hurts_nobody(
    redis_server: RedisServer, other_process: tuple[Hub, Positions]
) -> None:
    hub, positions = other_process
    wait_for(lambda: subscribers(redis_server) == 1)
    redis_server.kill()

    @asynchronous
    async def scenario() -> None:
        waiter = Waiter(1, (1, 1))
        hub.add(waiter)
        positions.held[1] = (1, 2)
        started = time.monotonic()
        await asyncio.to_thread(RedisNews(hub, "published").publish, [1])
        assert time.monotonic() - started < 0.5
        assert await woken_within(waiter, 5) < 1.2

    scenario()


def test_redis_that_comes_back_is_heard_again(
    redis_server: RedisServer, other_process: tuple[Hub, Positions]
) -> None:
    assert other_process
    wait_for(lambda: subscribers(redis_server) == 1)
    redis_server.kill()
    redis_server.start()
    wait_for(lambda: subscribers(redis_server) == 1)


def test_after_a_failure_news_are_not_tried_for_a_while(settings: Settings) -> None:
    settings.PEERAGE_REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    news = RedisNews(Hub(Positions()), "published")
    news.publish([1])
    started = time.monotonic()
    for _ in range(1000):
        news.publish([1])
    assert time.monotonic() - started < 0.1


@pytest.mark.parametrize("data", [None, 5, b"", b"x", b"1;DROP", b"\xff", "1"])
def test_garbled_news_wake_nobody(data: object) -> None:
    assert notifier._gateway_ids(data) == frozenset()  # noqa: SLF001 -- the parser


def test_news_are_ids() -> None:
    assert notifier._gateway_ids(b"1,22") == frozenset({1, 22})  # noqa: SLF001 -- the parser
