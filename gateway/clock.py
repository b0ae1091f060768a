"""The clock as the agent's parts see it: two readings, given to them."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for records and signatures; ticks for how long something took."""

    def now(self) -> datetime:
        """Return the time of day in UTC."""

    def ticks(self) -> float:
        """Return seconds that never go back and count while the machine sleeps."""
