"""Wakes gateways that wait for a newer snapshot, or for a notice of revocation.

Three ways lead to a waiting request, each enough by itself:

* in this process, `notify` wakes the event loops that hold waiters of a gateway;
* Redis pub/sub carries the same news to other processes, when it is configured;
* one database query a second for all waiters of a process is the floor, so that
  whatever message is lost costs a second.

A wake-up is a hint and carries no policy: whoever wakes reads the database. Forged
or garbled messages therefore cost a query and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol, TypeAlias, TypeVar

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from policies import notices, selectors
from policies.connections import in_pool, turns

logger = logging.getLogger(__name__)

Found = TypeVar("Found")
Found_co = TypeVar("Found_co", covariant=True)
Position: TypeAlias = tuple[int, int]
"""Epoch and generation, or 0 and the number of a notice; a later one is greater."""

POLL_SECONDS: Final = 1.0
EVERYONE: Final = "*"
"""A message to every gateway."""
REDIS_TIMEOUT_SECONDS: Final = 0.25
REDIS_PAUSE_SECONDS: Final = 5.0


class Waiter:
    """One request that waits for its gateway to have something after `after`."""

    def __init__(self, gateway_id: int, after: Position) -> None:
        """Belong to the running loop."""
        self.gateway_id = gateway_id
        self.after = after
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Wake the request, from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            # The loop has been closed; nobody waits in it any more.
            logger.debug("a waiter outlived its loop")

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 -- it is the long poll's own
        """Return when woken or after `timeout` seconds."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout)
        except TimeoutError:
            return
        self._event.clear()
        # What it was woken for goes before what others begin.
        turns.hurry()


class Hub:
    """The waiters of this process, and the one thread-safe door to them."""

    def __init__(self, positions: Callable[[], Mapping[int, Position]]) -> None:
        """Read where gateways stand through `positions`."""
        self._positions = positions
        self._waiters: set[Waiter] = set()
        self._pollers: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}
        self._lock = threading.Lock()
        self.is_closing = False

    def close(self) -> None:
        """Let everybody go and nobody wait any more: the process is stopping."""
        self.is_closing = True
        for waiter in self._waiting():
            waiter.wake()

    def add(self, waiter: Waiter) -> None:
        """Take a waiter in; the first one of a loop starts that loop's poll."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._waiters.add(waiter)
            poller = self._pollers.get(loop)
            if poller is None or poller.done():
                self._forget_closed()
                self._pollers[loop] = loop.create_task(self._poll())

    def discard(self, waiter: Waiter) -> None:
        """Let a waiter go."""
        with self._lock:
            self._waiters.discard(waiter)

    def wake(self, gateway_ids: Iterable[int] | None) -> None:
        """Wake whoever waits for one of these gateways, from any thread.

        `None` is every gateway.
        """
        ids = None if gateway_ids is None else frozenset(gateway_ids)
        for waiter in self._waiting():
            if ids is None or waiter.gateway_id in ids:
                waiter.wake()

    def __len__(self) -> int:
        """Return how many requests wait."""
        return len(self._waiters)

    def _waiting(self) -> tuple[Waiter, ...]:
        with self._lock:
            return tuple(self._waiters)

    def _forget_closed(self) -> None:
        for loop in [loop for loop in self._pollers if loop.is_closed()]:
            del self._pollers[loop]

    async def _poll(self) -> None:
        # Ends by itself when nobody has waited for a whole round.
        read = in_pool(self._positions)
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._waiters:
                return
            try:
                positions = await read()
            except Exception:
                # Without a database nothing new can have been published either.
                logger.exception("the poll for new snapshots failed")
                continue
            for waiter in self._waiting():
                if positions.get(waiter.gateway_id, waiter.after) > waiter.after:
                    waiter.wake()


class RedisNews:
    """Carries wake-ups between processes. Losing it is noticed and survived."""

    def __init__(self, hub: Hub, topic: str) -> None:
        """Connect to nothing yet."""
        self._hub = hub
        self._topic = topic
        self._client: Redis | None = None
        self._quiet_until = 0.0
        self._listener: threading.Thread | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def publish(self, gateway_ids: Iterable[int] | None) -> None:
        """Tell the other processes; after a failure stay quiet for a while."""
        if time.monotonic() < self._quiet_until:
            return
        message = EVERYONE
        if gateway_ids is not None:
            message = ",".join(str(gateway_id) for gateway_id in sorted(gateway_ids))
        try:
            if self._client is None:
                self._client = _connect(REDIS_TIMEOUT_SECONDS)
            self._client.publish(self._channel, message)
        except (RedisError, OSError, ValueError) as exc:
            logger.warning("redis does not take news: %s", exc)
            self._client = None  # A broken connection is not used again.
            self._quiet_until = time.monotonic() + REDIS_PAUSE_SECONDS

    def listen(self) -> None:
        """Start listening, once in this process."""
        with self._lock:
            if self._listener is None or not self._listener.is_alive():
                self._stop.clear()
                self._listener = threading.Thread(
                    target=self._run, name="redis-news", daemon=True
                )
                self._listener.start()

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        if self._listener is not None:
            self._listener.join()

    @property
    def _channel(self) -> str:
        return f"peerage:{settings.PEERAGE_DEPLOYMENT}:{self._topic}"

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._hear()
            except (RedisError, OSError, ValueError) as exc:
                logger.warning("redis brings no news: %s", exc)
                self._stop.wait(POLL_SECONDS)

    def _hear(self) -> None:
        with (
            _connect(POLL_SECONDS) as client,
            client.pubsub(ignore_subscribe_messages=True) as subscription,
        ):
            subscription.subscribe(self._channel)
            while not self._stop.is_set():
                message = subscription.get_message(timeout=POLL_SECONDS)
                if message is not None:
                    self._hub.wake(_gateway_ids(message.get("data")))


def notify(gateway_ids: Iterable[int]) -> None:
    """Tell every process that these gateways have a new snapshot. After commit."""
    ids = frozenset(gateway_ids)
    hub.wake(ids)
    if settings.PEERAGE_REDIS_URL:
        news.publish(ids)


def notify_notices() -> None:
    """Tell every process that there is a notice for every gateway. After commit."""
    notice_hub.wake(None)
    if settings.PEERAGE_REDIS_URL:
        notice_news.publish(None)


def close() -> None:
    """Let everybody go: the process is stopping."""
    hub.close()
    notice_hub.close()


def end() -> None:
    """Stop listening to other processes."""
    news.close()
    notice_news.close()


class Look(Protocol[Found_co]):
    """Reads the database, for many at once if many are woken at once."""

    def __call__(self, *, is_last: bool) -> Awaitable[Found_co | None]:
        """Return what there is to tell, None for nothing; not so if it `is_last`."""
        ...


async def wait_for_notice(
    gateway_id: int, after: Position, *, look: Look[Found], seconds: float
) -> Found:
    """Return what `look` finds for a gateway, once there is a notice after `after`."""
    return await _wait(
        gateway_id, after, look=look, seconds=seconds, among=(notice_hub, notice_news)
    )


async def wait_for_newer(
    gateway_id: int, after: Position, *, look: Look[Found], seconds: float
) -> Found:
    """Return what `look` finds, once the gateway stands beyond `after`, or in time."""
    return await _wait(gateway_id, after, look=look, seconds=seconds, among=(hub, news))


async def _wait(
    gateway_id: int,
    after: Position,
    *,
    look: Look[Found],
    seconds: float,
    among: tuple[Hub, RedisNews],
) -> Found:
    hub, news = among
    deadline = time.monotonic() + seconds
    waiter = Waiter(gateway_id, after)
    # In before the first look: what happens in between still wakes.
    hub.add(waiter)
    try:
        if settings.PEERAGE_REDIS_URL:
            news.listen()
        while True:
            left = deadline - time.monotonic()
            found = await look(is_last=left <= 0 or hub.is_closing)
            if found is not None:
                return found
            # Woken for nothing, as who says to have heard of everything always is.
            turns.rest()
            await waiter.wait(left)
    finally:
        hub.discard(waiter)


def _connect(timeout: float) -> Redis:
    return Redis.from_url(
        settings.PEERAGE_REDIS_URL,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        socket_timeout=timeout,
        socket_keepalive=True,
        health_check_interval=15,
    )


def _gateway_ids(data: object) -> frozenset[int] | None:
    if data == EVERYONE.encode():
        return None
    text = data.decode("ascii", "replace") if isinstance(data, bytes) else ""
    return frozenset(int(word) for word in text.split(",") if word.isdecimal())


def _notice_positions() -> Mapping[int, Position]:
    return notices.positions(now=datetime.now(UTC))  # noqa: TID251 -- this is an edge


hub: Final = Hub(selectors.published_positions)
news: Final = RedisNews(hub, "published")
notice_hub: Final = Hub(_notice_positions)
notice_news: Final = RedisNews(notice_hub, "revoked")
