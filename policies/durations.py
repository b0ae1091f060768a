"""How long somebody may ask for, and how a time is said. Absolute time, no calendar.

A request carries seconds, never a date: its time begins at approval, so neither a date
in the past nor a gap of summer time can be asked for (attack C12).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings

from policies.errors import InvalidRequestError

SHORTEST: Final = timedelta(minutes=5)
SECOND: Final = timedelta(seconds=1)
UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


def longest_duration() -> timedelta:
    """Return the longest time that may be asked for."""
    return timedelta(days=settings.PEERAGE_REQUEST_MAXIMUM_DAYS)


def duration_of(seconds: object) -> timedelta:
    """Return that many seconds, if somebody may ask for them.

    Raises:
        InvalidRequestError: not a whole number, or out of bounds.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        msg = "a duration is a whole number of seconds"
        raise InvalidRequestError(msg)
    # Compared as numbers first: a timedelta of 2^63 seconds does not exist.
    if not SHORTEST // SECOND <= seconds <= longest_duration() // SECOND:
        raise InvalidRequestError(_bounds())
    return timedelta(seconds=seconds)


def checked_duration(duration: timedelta) -> timedelta:
    """Return a duration that may be asked for, in whole seconds.

    Raises:
        InvalidRequestError: out of bounds.
    """
    return duration_of(duration // SECOND)


def in_words(duration: timedelta) -> str:
    """Return a duration in its two largest units, as people say it."""
    left = max(0, duration // SECOND)
    words = []
    for name, seconds in UNITS:
        count, left = divmod(left, seconds)
        if count:
            words.append(f"{count} {name}{'s' if count > 1 else ''}")
    return " ".join(words[:2]) or "0 seconds"


def _bounds() -> str:
    return (
        f"ask for at least {in_words(SHORTEST)} and at most"
        f" {in_words(longest_duration())}"
    )
