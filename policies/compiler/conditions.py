"""What a grant may demand beside its time: hours, and of a device or its owner. Values.

Rules this module keeps:

* A condition that says nothing, or has two spellings, cannot exist.
* What a device must hold is a `Requirement`; each has a name, which is also that of
  the kernel's set of the devices that hold it. Equal requirements share one.
* Unknown means not held: a person who never proved anything holds nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import time, tzinfo
from functools import lru_cache
from typing import Final, TypeAlias

from policies.compiler.errors import InvalidValueError

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

MIN_AGE: Final = 60
"""Seconds. Less would end before a person is back from the identity provider."""

MAX_AGE: Final = 366 * 86_400
"""Seconds. Who signs in once a year has long been somebody else."""

MAX_METHOD: Final = 64
MAX_METHODS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Hours on some days of the week (Monday is 0), from `begin` up to `end`.

    An `end` of None is midnight at the end of the day.

    Raises:
        InvalidValueError: no day or one that is none, days not in order, an end that
            is not after the beginning, or times that are no whole minutes.
    """

    days: tuple[int, ...]
    begin: time
    end: time | None

    def __post_init__(self) -> None:
        """Refuse what never holds, or has no one meaning."""
        known = range(len(DAYS))
        if not self.days or self.days != tuple(n for n in known if n in self.days):
            msg = "a window has days, each once, from 0 (Monday) to 6 in order"
            raise InvalidValueError(msg)
        for clock in (self.begin, self.end or self.begin):
            if clock.second or clock.microsecond or clock.tzinfo or clock.fold:
                msg = f"{clock} is not a time of day in whole minutes"
                raise InvalidValueError(msg)
        if self.end is not None and self.end <= self.begin:
            msg = f"a window from {self.begin:%H:%M} until {self.end:%H:%M} is empty"
            raise InvalidValueError(msg)

    @property
    def sort_key(self) -> tuple[tuple[int, ...], time, bool, time]:
        """A total order; midnight at the end of a day comes last."""
        return (self.days, self.begin, self.end is None, self.end or self.begin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The hours of a week in a time zone, which is known here by its name only.

    Raises:
        InvalidValueError: no zone or no window, or windows out of order or twice.
    """

    time_zone: str
    windows: tuple[Window, ...]

    def __post_init__(self) -> None:
        """Refuse what says nothing, and a second spelling of the same."""
        if not self.time_zone or not self.windows:
            msg = "a schedule needs a time zone and at least one window"
            raise InvalidValueError(msg)
        if self.windows != sorted_windows(self.windows):
            msg = "the windows of a schedule stand in order, each once"
            raise InvalidValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """A schedule with the clocks it goes by."""

    schedule: Schedule
    zone: tzinfo


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxAge:
    """The owner proved who they are at most so many seconds ago.

    Raises:
        InvalidValueError: less than a minute, or more than a year.
    """

    seconds: int

    def __post_init__(self) -> None:
        """Refuse what nobody could hold, and what is no demand."""
        if not MIN_AGE <= self.seconds <= MAX_AGE:
            msg = f"{self.seconds} seconds are no age from {MIN_AGE} to {MAX_AGE}"
            raise InvalidValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """The owner's last proof used all of these methods, and is of one of the classes.

    `amr` are methods (RFC 8176), `acr` the identity provider's classes; of those that
    are not empty, each must hold.

    Raises:
        InvalidValueError: both are empty, or an entry is malformed, or out of order.
    """

    amr: tuple[str, ...]
    acr: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what demands nothing."""
        if not self.amr and not self.acr:
            msg = "a strength names methods (amr) or classes (acr)"
            raise InvalidValueError(msg)
        for listed in (self.amr, self.acr):
            if len(listed) > MAX_METHODS or listed != tuple(sorted(set(listed))):
                msg = f"at most {MAX_METHODS} methods or classes, in order, each once"
                raise InvalidValueError(msg)
        for text in (*self.amr, *self.acr):
            if not is_method(text):
                msg = f"{text!r} is not a method or class of authentication"
                raise InvalidValueError(msg)


@dataclass(frozen=True, slots=True)
class ApprovedDevice:
    """An administrator approved the device."""


Requirement: TypeAlias = MaxAge | Strength | ApprovedDevice
Requirements: TypeAlias = tuple[Requirement, ...]
"""Sorted by name, each once; all must be held."""


def sorted_windows(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Return windows in order, each once."""
    return tuple(sorted(set(windows), key=lambda window: window.sort_key))


def sorted_requirements(requirements: Iterable[Requirement]) -> Requirements:
    """Return requirements in order of their names, each once."""
    return tuple(sorted(set(requirements), key=requirement_name))


def is_method(text: str) -> bool:
    """Return whether a text can name a method or a class: short, and seen whole."""
    return 0 < len(text) <= MAX_METHOD and text.isascii() and text.isprintable()


@lru_cache(maxsize=4096)
def requirement_name(requirement: Requirement) -> str:
    """Return the name of a requirement; safe as an nft(8) identifier."""
    if isinstance(requirement, MaxAge):
        return f"if_age_{requirement.seconds}"
    if isinstance(requirement, Strength):
        text = json.dumps([requirement.amr, requirement.acr])
        return f"if_strong_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return "if_approved"
