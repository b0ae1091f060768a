"""The clock as the agent's parts see it: two readings, given to them.

`SteadyClock` is what a running agent uses. A machine's clock may be wrong, or be set
while the agent runs; neither may open or close a gateway (faults 35):

* it begins at the machine's time and then goes with the ticks: setting the machine's
  clock moves nothing;
* a lease that was accepted says the portal's time, signed: where the machine's clock
  agrees, that is taken up; where it does not, the portal's is;
* when the portal refuses a request for its time, the time in the answer (`Date`,
  authentic by TLS only) is tried, but none that is earlier than the portal ever
  signed: nobody in between can turn this clock back.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Final, Protocol

NEAR: Final = timedelta(seconds=30)
"""Clocks that differ by less agree; beyond it somebody must look."""


class Clock(Protocol):
    """Wall time for records and signatures; ticks for how long something took."""

    def now(self) -> datetime:
        """Return the time of day in UTC."""

    def ticks(self) -> float:
        """Return seconds that never go back and count while the machine sleeps."""


class SteadyClock:
    """The portal's time as well as it is known. Safe to share between threads."""

    def __init__(self, machine: Clock) -> None:
        """Begin with the machine's time."""
        self._machine = machine
        self._lock = threading.Lock()
        self._base, self._ticks = machine.now(), machine.ticks()
        self._signed: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """Return the time of day in UTC."""
        with self._lock:
            return self._now(self._machine.ticks())

    def ticks(self) -> float:
        """Return seconds that never go back and count while the machine sleeps."""
        return self._machine.ticks()

    def hear(self, issued: datetime) -> float:
        """Take up what the portal signed just now.

        Returns the machine's clock less the portal's, in seconds.
        """
        with self._lock:
            ticks, machine = self._machine.ticks(), self._machine.now()
            self._signed = (issued, ticks)
            offset = machine - issued
            if abs(offset) <= NEAR:
                self._base, self._ticks = machine, ticks
            elif abs(self._now(ticks) - issued) > NEAR:
                self._base, self._ticks = issued, ticks
            return offset.total_seconds()

    def correct(self, told: datetime) -> bool:
        """Try the time an answer told; return whether that is another than ours."""
        with self._lock:
            ticks = self._machine.ticks()
            if abs(told - self._now(ticks)) <= NEAR:
                return False
            if self._signed is not None:
                issued, since = self._signed
                if told < issued + timedelta(seconds=ticks - since) - NEAR:
                    return False
            self._base, self._ticks = told, ticks
            return True

    def _now(self, ticks: float) -> datetime:
        return self._base + timedelta(seconds=ticks - self._ticks)
