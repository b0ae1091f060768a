"""Whether an alarm notifies, on which channels, and when it is tried again. Pure.

* A new alarm notifies. One that goes on notifies again only when it became worse, or
  when the last notification is `quiet` ago and nobody has acknowledged it.
* A channel carries the alarms of its rules that are at least as bad as it says.
* A channel that fails is tried again after 30 s, 1 min, 2 min, … 1 h; the tenth failure
  is the last one, some three hours later.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(hours=1)
TRIES: Final = 10


def is_due_again(
    *,
    notified_at: datetime | None,
    is_acknowledged: bool,
    quiet: timedelta,
    now: datetime,
) -> bool:
    """Return whether an alarm that goes on has been quiet for long enough."""
    return not is_acknowledged and (notified_at is None or now - notified_at >= quiet)


def carries(
    *, rules: frozenset[str], least_severity: int, rule: str, severity: int
) -> bool:
    """Return whether a channel carries an alarm."""
    return severity >= least_severity and (not rules or rule in rules)


def wait_after(failures: int) -> timedelta | None:
    """Return how long to wait after so many failures, at least one; None: give up."""
    if failures >= TRIES:
        return None
    return min(FIRST_WAIT * (1 << (failures - 1)), LONGEST_WAIT)
