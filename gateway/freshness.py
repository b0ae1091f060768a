"""How long this gateway may stay open without hearing more. Pure.

* The lease ends by two clocks at once, the wall and the ticks counted from its
  arrival; the earlier one closes. A clock that was set back prolongs nothing.
* The clock is sane while it runs as the ticks do, and is near the portal's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from policies.compiler.types import Lease

MAX_SKEW: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """A lease, with both clocks at the moment it came into force.

    `is_received` is false for a lease read from disk: nothing is known then about
    the portal's clock.
    """

    lease: Lease
    now: datetime
    ticks: float
    is_received: bool

    def seconds_left(self, *, now: datetime, ticks: float) -> float:
        """Return how long the lease runs still; 0 or less when it has run out."""
        by_wall = (self.lease.not_after - now).total_seconds()
        at_arrival = (self.lease.not_after - self.now).total_seconds()
        return min(by_wall, at_arrival - (ticks - self.ticks))

    def silent_for(self, *, now: datetime, ticks: float) -> float:
        """Return how many seconds ago the portal said this, by the clock that is on."""
        by_wall = (now - self.lease.issued).total_seconds()
        at_arrival = (self.now - self.lease.issued).total_seconds()
        return max(by_wall, at_arrival + (ticks - self.ticks))

    def is_clock_sane(self, *, now: datetime, ticks: float) -> bool:
        """Return whether the wall clock can be believed."""
        drift = now - self.now - timedelta(seconds=ticks - self.ticks)
        skew = self.now - self.lease.issued
        near = not self.is_received or abs(skew) <= MAX_SKEW
        return near and abs(drift) <= MAX_SKEW
