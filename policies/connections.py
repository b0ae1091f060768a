"""Database work from asynchronous code: a few threads, each with one connection.

* Waiting costs neither a thread nor a connection, and what is not waiting queues for
  the few threads there are: as many gateways as like may come at once.
* A thread keeps its connection for PEERAGE_DATABASE_KEEP_SECONDS: opening one takes
  longer than what most requests ask of it. It is looked at before it is used again.
* Strangers have a thread of their own, and few of them wait for it.
* What many ask for at once is read for all of them at once (`Together`).
* Who was woken by news is answered before anybody begins something (`Turns`): not even
  a thread that is free begins, and publishers pause between gateways.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, Generic, ParamSpec, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Key = TypeVar("Key")

THREADS: Final = 8
"""And so many connections: what they do is Python, which one processor does."""
FIRST_THREADS: Final = 2
"""Besides, for those whom news has woken: they queue behind nobody."""
STRANGERS_AT_ONCE: Final = 64
"""So many requests of places that are refused all the time wait, for one thread."""
LAST_THREADS: Final = 2
"""Besides, for reports: hundreds that come together hold up nobody who polls."""
AT_ONCE: Final = 64
PATIENCE_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.05
"""A thread waits so long, at most, for those with news before it begins something."""

_pool: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="pool")
_last: Final = ThreadPoolExecutor(LAST_THREADS, thread_name_prefix="last")
_first: Final = ThreadPoolExecutor(FIRST_THREADS, thread_name_prefix="first")
_strangers: Final = ThreadPoolExecutor(1, thread_name_prefix="stranger")
_later: Final = ThreadPoolExecutor(1, thread_name_prefix="later")
_here: Final = threading.local()
_is_strange: ContextVar[bool] = ContextVar("is_strange", default=False)


class CrowdedError(Exception):
    """Too many strangers wait; this one shall come again."""


def in_pool(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Return the function as a coroutine function that runs in a pool thread.

    Raises:
        CrowdedError: it is a stranger's, and too many strangers wait.
    """
    return _unless_strange(function, _in(_pool, _patient(function)))


def in_last_pool(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Return the function as a coroutine function that may have to wait long."""
    return _unless_strange(function, _in(_last, _patient(function)))


def in_first_pool(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Return the function as a coroutine function for who answers with news."""
    return _in(_first, function)


@contextmanager
def as_stranger() -> Iterator[None]:
    """Let what this task asks of the pools wait for the strangers' one thread."""
    token = _is_strange.set(True)
    try:
        yield
    finally:
        _is_strange.reset(token)


def _unless_strange(
    function: Callable[P, T], ordinary: Callable[P, Awaitable[T]]
) -> Callable[P, Awaitable[T]]:
    strange = _in(_strangers, _patient(function))

    @wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if not _is_strange.get():
            return await ordinary(*args, **kwargs)
        with _crowd.one_more():
            return await strange(*args, **kwargs)

    return call


class Crowd:
    """How many strangers wait."""

    def __init__(self, most: int) -> None:
        """Let at most so many wait."""
        self._free = threading.BoundedSemaphore(most)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count one while it waits.

        Raises:
            CrowdedError: there are too many already.
        """
        if not self._free.acquire(blocking=False):
            raise CrowdedError
        try:
            yield
        finally:
            self._free.release()


_crowd: Final = Crowd(STRANGERS_AT_ONCE)


def later(function: Callable[[], object]) -> None:
    """Call a function that nobody waits for, after those that came here before it.

    What it raises is logged. A process that ends does so when it has returned.
    """
    _later.submit(_logged, _connected(function))


def _logged(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception:
        logger.exception("what was left for later failed")


def _patient(function: Callable[P, T]) -> Callable[P, T]:
    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        turns.pause()
        return function(*args, **kwargs)

    return call


def _in(
    executor: ThreadPoolExecutor, function: Callable[P, T]
) -> Callable[P, Awaitable[T]]:
    return sync_to_async(
        _connected(function), thread_sensitive=False, executor=executor
    )


def _connected(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function with a connection that this thread keeps."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        _here.is_pool = True
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            # No request ends in these threads; one after an error is closed here.
            close_old_connections()

    return call


@receiver(connection_created)
def _keep(connection: BaseDatabaseWrapper, **_: object) -> None:
    if getattr(_here, "is_pool", False) and connection.close_at is not None:
        connection.close_at = time.monotonic() + settings.PEERAGE_DATABASE_KEEP_SECONDS


class Together(Generic[Key, T]):
    """Reads for everybody who asks while a read is under way, in the next one."""

    def __init__(
        self, read: Callable[[Sequence[Key]], Sequence[T | Exception]]
    ) -> None:
        """`read`, in a thread, returns a result or an error for each key."""
        self._read = _in(_first, read)
        self._asked: WeakKeyDictionary[
            asyncio.AbstractEventLoop, list[tuple[Key, asyncio.Future[T]]]
        ] = WeakKeyDictionary()
        self._tasks: WeakSet[asyncio.Task[None]] = WeakSet()

    async def __call__(self, key: Key) -> T:
        """Return what a read that begins after this call says of the key."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[T] = loop.create_future()
        asked = self._asked.get(loop)
        if asked is None:
            self._asked[loop] = [(key, found)]
            self._tasks.add(task := loop.create_task(self._serve(loop)))
            found.add_done_callback(lambda _: task)  # which keeps it alive
        else:
            asked.append((key, found))
        return await found

    async def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        # Whoever is ready to ask in this round of the loop is in it.
        await asyncio.sleep(0)
        asked = self._asked[loop]
        try:
            while asked:
                taken = asked[:AT_ONCE]
                del asked[:AT_ONCE]
                await self._answer(taken)
        finally:
            del self._asked[loop]

    async def _answer(self, taken: Sequence[tuple[Key, asyncio.Future[T]]]) -> None:
        try:
            results = await self._read([key for key, _ in taken])
        except Exception as exc:  # noqa: BLE001 -- each asker raises it
            results = [exc] * len(taken)
        for (_, found), result in zip(taken, results, strict=True):
            if found.done():
                continue  # Its asker went away.
            if isinstance(result, Exception):
                found.set_exception(result)
            else:
                found.set_result(result)


class Turns:
    """Whose turn it is: first those for whom there is news, in every event loop."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._lock = threading.Lock()
        self._count = 0
        self._calm = threading.Event()
        self._calm.set()
        self._due: WeakKeyDictionary[
            asyncio.AbstractEventLoop, set[asyncio.Task[Any]]
        ] = WeakKeyDictionary()
        self._done: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Event] = (
            WeakKeyDictionary()
        )

    def hurry(self) -> None:
        """Let the current task go first, until it ends."""
        loop, task = asyncio.get_running_loop(), _task()
        due = self._due.setdefault(loop, set())
        if task not in due:
            due.add(task)
            self._counted(1)
            task.add_done_callback(lambda ended: self._leave(loop, ended))

    def rest(self) -> None:
        """Let nobody wait for the current task: what woke it was no news to it."""
        self._leave(asyncio.get_running_loop(), _task())

    def pause(self) -> None:
        """Hold up this thread, which answers nobody with news, while somebody is due.

        For `PAUSE_SECONDS` at most: threads that compute share one processor with the
        event loops, which would have to ask each of them for it.
        """
        self._calm.wait(PAUSE_SECONDS)

    async def wait(self) -> None:
        """Return when nobody is due, or when it has been long enough."""
        loop = asyncio.get_running_loop()
        self._leave(loop, _task())
        if not self._due.get(loop):
            return
        done = self._done.setdefault(loop, asyncio.Event())
        try:
            await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)
        except TimeoutError:
            return

    def _leave(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        due = self._due.get(loop, set())
        if task in due:
            due.remove(task)
            self._counted(-1)
        if not due and (done := self._done.pop(loop, None)) is not None:
            done.set()

    def _counted(self, change: int) -> None:
        with self._lock:
            self._count += change
            if self._count:
                self._calm.clear()
            else:
                self._calm.set()


def _task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("only a task has its turn")
    return task


turns: Final = Turns()
