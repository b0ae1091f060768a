"""The kernel's count against the log's, through replaced rules, kills and reboots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import StoreError
from gateway.totals import LOOK_SECONDS, SEEN, SETTLE_SECONDS, Totals
from tests.gateway.fakes import FakeClock


class Kernel:
    """Rules with counters, and a run of the agent that compares them."""

    def __init__(self, directory: Path) -> None:
        """Begin with one rule that has counted five."""
        self.directory = directory
        self.clock = FakeClock()
        self.rules = {7: 5}
        self.boot_id = "boot"
        self.start()

    def start(self) -> None:
        """Start an agent, after whatever ended the one before."""
        self.totals = Totals(
            self.directory,
            read=lambda: dict(self.rules),
            boot_id=self.boot_id,
            clock=self.clock,
        )

    def log(self, count: int, *, handle: int = 7, lost: int = 0) -> None:
        """Let flows begin, of which the last `lost` were thrown away."""
        self.rules[handle] = self.rules.get(handle, 0) + count
        for _ in range(count - lost):
            self.totals.logged(lost=0)

    def missing(self) -> int | None:
        """Read, wait, compare."""
        self.clock.advance(LOOK_SECONDS)
        assert self.totals.step(self.clock.ticks()) is None
        self.clock.advance(2 * SETTLE_SECONDS)
        return self.totals.step(self.clock.ticks())


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """Return a kernel in which everything was counted so far."""
    made = Kernel(tmp_path)
    assert made.missing() == 0
    yield made
    made.totals.close()


def test_what_was_logged_is_not_missing(kernel: Kernel) -> None:
    kernel.log(100)
    assert kernel.missing() == 0
    assert kernel.totals.sums().accepted == kernel.totals.sums().logged == 100


def test_what_never_came_is_missing_once_and_exactly(kernel: Kernel) -> None:
    kernel.log(100, lost=37)
    assert kernel.missing() == 37
    assert kernel.missing() == 0
    assert kernel.totals.sums().lost == 37


def test_what_its_number_told_is_not_told_again(kernel: Kernel) -> None:
    kernel.rules[7] += 4
    kernel.totals.logged(lost=3)
    assert kernel.missing() == 0
    assert kernel.totals.sums().lost == 3


def test_what_comes_after_the_reading_hides_no_more_than_itself(
    kernel: Kernel,
) -> None:
    kernel.log(10, lost=4)
    kernel.clock.advance(LOOK_SECONDS)
    kernel.totals.step(kernel.clock.ticks())
    kernel.log(3)
    kernel.clock.advance(2 * SETTLE_SECONDS)
    first = kernel.totals.step(kernel.clock.ticks())
    assert first is not None
    assert first + (kernel.missing() or 0) == 4


def test_nothing_is_compared_before_all_must_have_arrived(kernel: Kernel) -> None:
    kernel.clock.advance(LOOK_SECONDS)
    kernel.log(10, lost=10)
    assert kernel.totals.step(kernel.clock.ticks()) is None
    kernel.clock.advance(SETTLE_SECONDS / 2)
    assert kernel.totals.step(kernel.clock.ticks()) is None
    kernel.clock.advance(2 * SETTLE_SECONDS)
    assert kernel.totals.step(kernel.clock.ticks()) == 10


def test_a_run_that_was_killed_is_gone_on_with(kernel: Kernel) -> None:
    kernel.log(50)
    kernel.rules[7] += 20
    kernel.start()
    assert kernel.missing() == 20


def test_a_replaced_rule_takes_nothing_along(kernel: Kernel) -> None:
    kernel.log(10)
    kernel.missing()
    del kernel.rules[7]
    kernel.log(5, handle=8, lost=2)
    assert kernel.missing() == 2


def test_a_counter_that_began_anew_is_counted_on(kernel: Kernel) -> None:
    kernel.log(10)
    kernel.missing()
    kernel.rules[7] = 0
    kernel.log(3, lost=1)
    assert kernel.missing() == 1


def test_a_count_that_went_unread_does_not_hide_what_is_lost_later(
    kernel: Kernel,
) -> None:
    kernel.log(10)
    kernel.rules[7] = 5
    assert kernel.missing() == 0
    kernel.log(8, lost=8)
    assert kernel.missing() == 8


def test_a_reboot_begins_with_new_counters(kernel: Kernel) -> None:
    kernel.log(10)
    kernel.missing()
    kernel.boot_id, kernel.rules = "another", {7: 12}
    kernel.start()
    assert kernel.missing() == 12


def test_beginnings_are_counted_for_life(kernel: Kernel) -> None:
    kernel.totals.opened()
    since = kernel.totals.sums().since
    kernel.start()
    kernel.totals.opened()
    assert (kernel.totals.sums().opened, kernel.totals.sums().since) == (2, since)


def test_damaged_totals_are_refused(kernel: Kernel) -> None:
    (kernel.directory / SEEN).write_text("{}")
    with pytest.raises(StoreError, match="damaged"):
        kernel.start()
    (kernel.directory / SEEN).unlink()
    kernel.start()
    assert kernel.totals.sums().opened == 0
