"""What time it is, when the machine's clock is wrong or is set (faults 35)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from gateway.clock import SteadyClock
from gateway.telemetry import Telemetry
from tests.gateway.fakes import FakeClock
from tests.gateway.world import NOW

HOUR = timedelta(hours=1)


def after(seconds: float) -> datetime:
    """Return a moment after the beginning."""
    return NOW + timedelta(seconds=seconds)


def test_time_passes_with_the_ticks() -> None:
    machine = FakeClock()
    clock = SteadyClock(machine)
    machine.advance(10)
    assert (clock.now(), clock.ticks()) == (after(10), machine.elapsed)


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
def test_setting_the_machine_s_clock_moves_nothing(jump: timedelta) -> None:
    machine = FakeClock()
    clock = SteadyClock(machine)
    machine.wall += jump
    machine.advance(10)
    assert clock.now() == after(10)
    assert clock.hear(after(10)) == jump.total_seconds()
    assert clock.now() == after(10)


def test_a_machine_that_agrees_with_the_portal_is_believed_again() -> None:
    machine = FakeClock(wall=NOW + HOUR)
    clock = SteadyClock(machine)
    machine.wall = after(5)
    assert clock.hear(NOW) == 5
    assert clock.now() == after(5)


def test_the_portal_is_believed_when_the_machine_is_off() -> None:
    clock = SteadyClock(FakeClock(wall=after(45)))
    assert clock.hear(NOW) == 45
    assert clock.now() == NOW


@pytest.mark.parametrize("skew", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_a_refusal_s_time_corrects_a_clock_that_was_wrong_at_the_start(
    skew: timedelta,
) -> None:
    machine = FakeClock(wall=NOW + skew)
    clock = SteadyClock(machine)
    assert clock.correct(NOW)
    machine.advance(1)
    assert clock.now() == after(1)
    assert not clock.correct(after(1))


def test_nobody_turns_the_clock_back_behind_what_the_portal_signed() -> None:
    machine = FakeClock()
    clock = SteadyClock(machine)
    clock.hear(NOW)
    machine.advance(600)
    assert not clock.correct(after(500))
    assert clock.now() == after(600)
    assert clock.correct(after(5000))


def test_a_skew_is_alarmed_once_and_its_end_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    telemetry = Telemetry(FakeClock())
    for offset in (0.1, 31.0, 3600.0, -29.0, 0.0):
        telemetry.compared(offset)
    assert [r.getMessage() for r in caplog.records] == [
        "clock.skewed offset_seconds=31.0",
        "clock.agrees offset_seconds=-29.0",
    ]
    assert telemetry.latest.clock_offset_seconds == 0.0
