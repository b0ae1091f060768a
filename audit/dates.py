"""No clock in the log runs back: what is dated too early or too late is named. Pure.

Events are sealed in the order in which they were written, a second later. The portal
dates what it writes (`t`; of a connection `received`), and each gateway the records it
numbers (`t` of a connection). So no leaf may be dated long before one that was sealed
earlier by the same clock, and none by the portal long after it was sealed: that would
be an event put in later under another date (attack G05), or a clock that was wrong.
"""

from __future__ import annotations

import json
from dataclasses import InitVar, dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any, Final

from audit.tlog.report import INCOMPLETE, TAMPERED, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

PORTAL: Final = ""
"""The portal's clock; others are those of gateways, by their ids."""

# An event may be dated when its transaction began, and transactions take milliseconds
# to minutes. The longest wait is that of an evidence pack, which is dated when it was
# asked for and recorded when the whole log was verified.
BOUND: Final = timedelta(hours=1).total_seconds()
SILENCE_SECONDS: Final = 60


def moments(entry: bytes) -> dict[str, float]:
    """Return what each clock showed, in seconds, as an entry tells it.

    Nothing, if it tells of no time: that its form is right is checked elsewhere.
    """
    try:
        return clocks(json.loads(entry))
    except (ValueError, RecursionError):
        return {}


def clocks(leaf: object) -> dict[str, float]:
    """Return what each clock showed, in seconds, as a leaf tells it."""
    try:
        match leaf:
            case {"gateway": str(gateway), "t": str(at), "received": str(received)}:
                return {PORTAL: _seconds(received), gateway: _seconds(at)}
            case {"t": str(at)}:
                return {PORTAL: _seconds(at)}
    except (ValueError, OverflowError):
        return {}
    return {}


@dataclass(slots=True)
class Kept:
    """When each leaf was first under a checkpoint that was kept; asked in order.

    `history` are the checkpoints (`audit.tlog.whole.HISTORY`).
    """

    history: InitVar[Iterable[Mapping[str, Any]]]
    size: int = field(default=0, init=False)
    _lines: Iterator[Mapping[str, Any]] = field(init=False)
    _at: float = field(default=inf, init=False)

    def __post_init__(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Begin with the first checkpoint."""
        self._lines = iter(history)

    def moment(self, index: int) -> float:
        """Return when the first checkpoint with a leaf was signed; never: infinity."""
        while self.size <= index:
            line = next(self._lines, None)
            self.size = line["size"] if line else index + 1
            self._at = _seconds(line["at"]) if line else inf
        return self._at


@dataclass(slots=True)
class Waits:
    """How long leaves waited for a checkpoint that was kept, heard in their order."""

    history: InitVar[Iterable[Mapping[str, Any]]]
    _kept: Kept = field(init=False)
    _size: int = 0
    _longest: float = 0.0

    def __post_init__(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Begin with the first checkpoint."""
        self._kept = Kept(history)

    def hear(self, index: int, leaf: object) -> float:
        """Return the seconds that a leaf waited, if none under its checkpoint more.

        Otherwise, or where nothing is known of it, return 0.
        """
        sealed = self._kept.moment(index)
        if self._kept.size != self._size:
            self._size, self._longest = self._kept.size, 0.0
        waited = sealed - clocks(leaf).get(PORTAL, sealed)
        if not self._longest < waited < inf:
            return 0.0
        self._longest = waited
        return waited


@dataclass(slots=True, kw_only=True)
class Dates:
    """The dates of a log's leaves, which are heard in the order of their indexes.

    `history` are the checkpoints that were kept (`audit.tlog.whole.HISTORY`).
    """

    name: str
    history: InitVar[Iterable[Mapping[str, Any]]]
    faults: list[Fault] = field(default_factory=list)
    _latest: dict[str, tuple[float, int]] = field(default_factory=dict)
    _runs: dict[str, int] = field(default_factory=dict)
    _kept: Kept = field(init=False)

    def __post_init__(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Begin with the first checkpoint."""
        self._kept = Kept(history)

    def hear(self, begin: int, told: Sequence[Mapping[str, float]]) -> None:
        """Compare the dates of the leaves from `begin` on with those before them."""
        for index, each in enumerate(told, begin):
            sealed = self._kept.moment(index)
            for clock, shown in each.items():
                latest, earlier = self._latest.get(clock, (shown, index))
                whose = f" by {clock}" if clock else ""
                if shown > sealed + BOUND:
                    message = f"dated{whose} more than an hour after it was sealed"
                    self._add(index, message, of=clock)
                elif shown < latest - BOUND:
                    message = f"dated{whose} more than an hour before leaf {earlier}"
                    message += ", which was sealed earlier"
                    self._add(index, message, of=clock)
                elif shown >= latest:
                    self._latest[clock] = shown, index

    def _add(self, index: int, message: str, *, of: str) -> None:
        """Add a fault; what goes on from leaf to leaf is one.

        A gateway that was restored from a backup tells late what it had not sent, and
        one whose clock was wrong tells lies in good faith: nobody need have tampered.
        """
        what = TAMPERED if of == PORTAL else INCOMPLETE
        place = self._runs.get(message)
        if place is not None and self.faults[place].until == index:
            self.faults[place] = replace(self.faults[place], until=index + 1)
            return
        self._runs[message] = len(self.faults)
        self.faults.append(Fault(what, self.name, index, message, index + 1))


def silences(name: str, history: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    """Yield where more than a minute lies between two checkpoints that were kept."""
    for one, other in pairwise(history):
        seconds = _seconds(other["at"]) - _seconds(one["at"])
        if not 0 <= seconds <= SILENCE_SECONDS:
            message = f"no checkpoint for {seconds:.0f} s after {one['at']}"
            yield Fault(INCOMPLETE, name, one["size"], message)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
