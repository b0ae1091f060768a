"""The loop that delivers: it ends when told to, outlives faults, works side by side."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from audit.models import Log
from audit.streams import delivery, runner
from audit.streams.models import Stream, StreamCursor
from tests.audit.streams.conftest import MakeStream
from tests.audit.streams.logs import ranks, write_events
from tests.audit.streams.test_delivery import FakeReceiver

ROOT = Path(__file__).resolve().parents[3]
WAIT_SECONDS = 20


@pytest.mark.django_db(transaction=True)
def test_a_turn_that_failed_is_told_and_the_next_one_begins(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop, turns = threading.Event(), []

    def turn(**_clock: object) -> int:
        turns.append(1)
        if len(turns) == 1:
            raise RuntimeError("the database went away")
        stop.set()
        return 3

    monkeypatch.setattr(runner, "deliver_due", turn)
    monkeypatch.setattr(runner, "PERIOD_SECONDS", 0.0)
    caplog.set_level(logging.ERROR)
    runner.run(stop)
    assert len(turns) == 2
    assert "the database went away" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_lose_nothing_and_keep_the_order(
    make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = FakeReceiver()
    monkeypatch.setattr(delivery, "receiver", lambda _stream: to)
    monkeypatch.setattr(delivery, "BATCH", 3)
    monkeypatch.setattr(runner, "PERIOD_SECONDS", 0.01)
    stream = make_stream(logs=(Log.CONTROL,))
    Stream.objects.update(next_attempt_at=stream.created_at)
    stop = threading.Event()
    workers = [threading.Thread(target=runner.run, args=(stop,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for _ in range(10):
        write_events(4)
    done = threading.Event()
    for _ in range(WAIT_SECONDS * 20):
        if StreamCursor.objects.get().delivered >= 41:
            break
        done.wait(0.05)
    stop.set()
    for worker in workers:
        worker.join()
    connection.close()
    found = [entry.index for batch in to.batches for entry in batch]
    assert ranks(Log.CONTROL, dict.fromkeys(found)) == list(range(41))


@pytest.mark.django_db
def test_the_command_gives_one_turn(
    make_stream: MakeStream,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    to = FakeReceiver()
    monkeypatch.setattr(delivery, "receiver", lambda _stream: to)
    make_stream(logs=(Log.CONTROL,))
    call_command("deliver_streams", "--once")
    assert capsys.readouterr().out == "1 entries were taken\n"


def test_the_command_ends_when_it_is_told_to() -> None:
    program = (
        "import os, signal, django; django.setup();"
        "from audit.streams import runner;"
        "runner.deliver_due = lambda **_: os.kill(os.getpid(), signal.SIGTERM) or 0;"
        "from django.core.management import call_command;"
        "call_command('deliver_streams')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=False, timeout=60
    )
    assert done.returncode == 0
