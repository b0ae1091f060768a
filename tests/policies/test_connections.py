"""A few threads for the database; one read for many; who has news goes first."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from policies import connections
from policies.connections import THREADS, Together, Turns, in_last_pool, in_pool
from tests.policies.asynchronous import asynchronous


@asynchronous
async def test_many_at_once_share_a_few_threads() -> None:
    names: set[str] = set()

    def work() -> None:
        names.add(threading.current_thread().name)
        time.sleep(0.005)

    await asyncio.gather(*(in_pool(work)() for _ in range(100)))
    assert 1 < len(names) <= THREADS


@asynchronous
async def test_what_can_wait_holds_up_nobody() -> None:
    done = threading.Event()
    waiting = [asyncio.ensure_future(in_last_pool(done.wait)()) for _ in range(50)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(5):
            assert await in_pool(lambda: 7)() == 7
            assert await Together(Reads())(1) == 2
    finally:
        done.set()
    await asyncio.gather(*waiting)


class Reads:
    """Doubles numbers; keeps what each read was asked; refuses 13."""

    def __init__(self) -> None:
        """Nothing was asked."""
        self.asked: list[Sequence[int]] = []

    def __call__(self, keys: Sequence[int]) -> list[int | Exception]:
        self.asked.append(list(keys))
        time.sleep(0.02)
        return [ValueError("13") if key == 13 else 2 * key for key in keys]


@asynchronous
async def test_all_who_ask_in_one_round_are_read_for_together() -> None:
    reads = Reads()
    together = Together(reads)
    assert await asyncio.gather(*map(together, range(10))) == list(range(0, 20, 2))
    assert reads.asked == [list(range(10))]


@asynchronous
async def test_who_asks_during_a_read_is_in_the_next() -> None:
    reads = Reads()
    together = Together(reads)
    first = asyncio.create_task(together(1))
    while not reads.asked:  # noqa: ASYNC110 -- set in a thread
        await asyncio.sleep(0.001)
    found = await asyncio.gather(together(1), together(2), first)
    assert tuple(found) == (2, 4, 2)
    assert reads.asked == [[1], [1, 2]]


@asynchronous
async def test_many_are_read_for_in_parts() -> None:
    reads = Reads()
    numbers = range(20, 20 + 2 * connections.AT_ONCE + 1)
    await asyncio.gather(*map(Together(reads), numbers))
    assert [len(keys) for keys in reads.asked] == [64, 64, 1]


@asynchronous
async def test_error_of_one_is_raised_for_that_one() -> None:
    together = Together(Reads())
    found = await asyncio.gather(together(13), together(14), return_exceptions=True)
    assert isinstance(found[0], ValueError)
    assert found[1] == 28


@asynchronous
async def test_read_that_fails_fails_for_everybody_and_the_next_goes_on() -> None:
    calls: list[int] = []

    def read(keys: Sequence[int]) -> list[int | Exception]:
        calls.append(len(keys))
        if len(calls) == 1:
            raise OSError("gone")
        return list(keys)

    together = Together(read)
    found = await asyncio.gather(together(1), together(2), return_exceptions=True)
    assert [type(error) for error in found] == [OSError, OSError]
    assert await together(3) == 3


@asynchronous
async def test_asker_who_goes_away_takes_nobody_along() -> None:
    together = Together(Reads())
    leaving = asyncio.create_task(together(1))
    staying = asyncio.create_task(together(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 4
    with pytest.raises(asyncio.CancelledError):
        await leaving


@asynchronous
async def test_who_begins_waits_for_those_with_news() -> None:
    turns, order = Turns(), list[str]()

    async def answer() -> None:
        turns.hurry()
        await asyncio.sleep(0.02)
        order.append("answer")

    async def begin() -> None:
        await asyncio.sleep(0.005)
        await turns.wait()
        order.append("begin")

    await asyncio.gather(answer(), begin(), answer())
    assert order == ["answer", "answer", "begin"]


@asynchronous
async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.01)
    turns, stuck = Turns(), asyncio.Event()

    async def answer() -> None:
        turns.hurry()
        await stuck.wait()

    answering = asyncio.create_task(answer())
    await asyncio.sleep(0)
    await turns.wait()
    stuck.set()
    await answering


@asynchronous
async def test_who_begins_anew_does_not_wait_for_itself() -> None:
    turns = Turns()
    turns.hurry()
    async with asyncio.timeout(0.5):
        await turns.wait()


@asynchronous
async def test_no_thread_begins_while_somebody_with_news_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "PAUSE_SECONDS", 30)
    order: list[str] = []

    async def answer() -> None:
        connections.turns.hurry()
        begin = asyncio.ensure_future(in_pool(lambda: order.append("begin"))())
        await asyncio.sleep(0.05)
        await connections.in_first_pool(lambda: order.append("answer"))()
        connections.turns.rest()
        await begin

    async with asyncio.timeout(10):
        await asyncio.create_task(answer())
    assert order == ["answer", "begin"]


@asynchronous
async def test_no_thread_pauses_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PAUSE_SECONDS", 0.01)
    connections.turns.hurry()
    async with asyncio.timeout(10):
        assert await in_pool(lambda: 7)() == 7
    connections.turns.rest()


def test_what_is_left_for_later_is_done_in_order_and_its_failure_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    order, done = list[int](), threading.Event()

    def fail() -> None:
        order.append(1)
        raise OSError("gone")

    connections.later(fail)
    connections.later(lambda: order.append(2))
    connections.later(done.set)
    assert done.wait(10)
    assert order == [1, 2]
    assert "what was left for later failed" in caplog.text
