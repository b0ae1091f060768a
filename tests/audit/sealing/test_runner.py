"""The loop goes on whatever one log does."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections

from audit.errors import SealError
from audit.management.commands import sealer
from audit.models import Log, SealerRefusal, SealerState
from audit.sealing import keeping, runner, tables
from audit.sealing.deciding import BATCH
from audit.sealing.sealer import Sealer
from tests.audit.conftest import NOON
from tests.audit.sealing.conftest import Write


class Turns(Event):
    """Stops a loop after some turns, and remembers how long it rested."""

    def __init__(self, turns: int) -> None:
        """Take the number of turns."""
        super().__init__()
        self.left = turns
        self.rests: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.rests.append(timeout or 0)
        self.left -= 1
        if not self.left:
            self.set()
        return self.is_set()


@pytest.fixture
def kept_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the test's own connection, which the loop would close."""
    monkeypatch.setattr(runner, "close_old_connections", lambda: None)
    monkeypatch.setattr(connections, "close_all", lambda: None)


@pytest.mark.usefixtures("sealer_files", "kept_connections")
def test_both_logs_are_sealed_each_turn(write: Write) -> None:
    write(2)
    stop = Turns(1)
    runner.run(stop)
    assert SealerState.objects.get(log=Log.CONTROL).size == 2
    assert SealerState.objects.get(log=Log.CONNECTIONS).size == 0
    assert stop.rests == [1.0]


@pytest.mark.usefixtures("kept_connections", "db")
@pytest.mark.parametrize(
    ("error", "rest"), [(SealError("edited"), 10.0), (OperationalError("gone"), 1.0)]
)
def test_a_log_that_fails_does_not_hold_up_the_other(
    error: Exception,
    rest: float,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    turned: list[Log] = []

    def seal(self: Sealer, now: datetime) -> int:
        turned.append(self.log)
        if self.log is Log.CONTROL:
            raise error
        return 0

    monkeypatch.setattr(Sealer, "seal", seal)
    stop = Turns(2)
    with caplog.at_level(logging.ERROR):
        runner.run(stop)
    assert turned == [*Log, *Log]
    assert stop.rests == [rest, rest]
    assert "the control log" in caplog.text


@pytest.mark.usefixtures("kept_connections", "db")
def test_the_portal_is_told_of_a_refusal_until_the_log_is_signed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[str] = ["edited", "edited", "", "no key", ""]
    left: list[list[tuple[str, str]]] = []

    def seal(self: Sealer, now: datetime) -> int:
        if self.log is Log.CONNECTIONS:
            return 0
        left.append([*SealerRefusal.objects.values_list("log", "reason")])
        if reason := answers.pop(0):
            raise SealError(reason)
        return 0

    monkeypatch.setattr(Sealer, "seal", seal)
    runner.run(Turns(5))
    edited, no_key = [("control", "edited")], [("control", "no key")]
    assert left == [[], edited, edited, [], no_key]
    assert not SealerRefusal.objects.exists()


@pytest.mark.django_db
def test_a_reason_keeps_its_first_moment() -> None:
    for reason, minute, told in (("a", 0, 0), ("a", 1, 0), ("b", 2, 2)):
        now = NOON + timedelta(minutes=minute)
        tables.tell_refusal(Log.CONTROL, reason, now=now)
        assert SealerRefusal.objects.get().at == NOON + timedelta(minutes=told)


@pytest.mark.usefixtures("kept_connections", "db")
def test_a_database_that_takes_no_word_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*_: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(Sealer, "seal", lambda _self, _now: 0)
    monkeypatch.setattr(tables, "withdraw_refusal", gone)
    stop = Turns(2)
    runner.run(stop)
    assert stop.rests == [1.0, 1.0]
    assert caplog.text.count("the portal was not told of the control log") == 2


@pytest.mark.usefixtures("kept_connections", "db")
def test_a_full_batch_is_followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sealer, "seal", lambda _self, _now: BATCH)
    stop = Turns(1)
    runner.run(stop)
    assert stop.rests == [0]


@pytest.mark.usefixtures("sealer_files")
def test_the_command_seals_once(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write(2)
    call_command("sealer", "--once")
    assert "control: 2 events were sealed" in capsys.readouterr().out


@pytest.mark.usefixtures("sealer_files")
def test_the_command_shows_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("sealer", "--keys")
    shown = capsys.readouterr().out.splitlines()
    assert shown == [str(keeping.verifier_key(log)) for log in Log]


@pytest.mark.usefixtures("sealer_files")
def test_the_command_adopts_a_log_whose_memory_is_lost(write: Write) -> None:
    write(1)
    Sealer(Log.CONTROL).seal(datetime.fromisoformat("2026-11-23T12:00:00Z"))
    keeping.state_file(Log.CONTROL).unlink()
    call_command("sealer", "--adopt")
    assert keeping.state_file(Log.CONTROL).exists()


def test_without_a_key_the_command_ends_at_once(sealer_files: Path) -> None:
    keeping.key_file(Log.CONTROL).unlink()
    with pytest.raises(CommandError, match=r"run manage\.py init_keys"):
        call_command("sealer")


@pytest.fixture
def kept_signals() -> Iterator[None]:
    """Give the process its own handlers back."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("sealer_files", "kept_signals")
def test_the_command_seals_until_it_is_told_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped: list[bool] = []

    def run(stop: Event) -> None:
        signal.raise_signal(signal.SIGTERM)
        stopped.append(stop.is_set())

    monkeypatch.setattr(sealer, "run", run)
    call_command("sealer")
    assert stopped == [True]
