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
from math import inf
from typing import TYPE_CHECKING, Any, Final

from audit.tlog.report import TAMPERED, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

PORTAL: Final = ""
"""The portal's clock; others are those of gateways, by their ids."""

# An event may be dated when its transaction began, and transactions take milliseconds
# to minutes. The longest wait is that of an evidence pack, which is dated when it was
# asked for and recorded when the whole log was verified.
BOUND: Final = timedelta(hours=1).total_seconds()


def moments(entry: bytes) -> dict[str, float]:
    """Return what each clock showed, in seconds, as a leaf tells it.

    Nothing, if it tells of no time: that its form is right is checked elsewhere.
    """
    try:
        match json.loads(entry):
            case {"gateway": str(gateway), "t": str(at), "received": str(received)}:
                return {PORTAL: _seconds(received), gateway: _seconds(at)}
            case {"t": str(at)}:
                return {PORTAL: _seconds(at)}
    except (ValueError, OverflowError, RecursionError):
        return {}
    return {}


@dataclass(slots=True, kw_only=True)
class Dates:
    """The dates of a log's leaves, which are heard in the order of their indexes.

    `history` are the checkpoints that were kept (`audit.tlog.whole.HISTORY`).
    """

    name: str
    history: InitVar[Iterable[Mapping[str, Any]]]
    faults: list[Fault] = field(default_factory=list)
    _latest: dict[str, tuple[float, int]] = field(default_factory=dict)
    _lines: Iterator[Mapping[str, Any]] = field(init=False)
    _runs: dict[str, int] = field(default_factory=dict)
    _next: int = 0
    _sealed: float = 0.0

    def __post_init__(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Begin with the first checkpoint."""
        self._lines = iter(history)

    def hear(self, begin: int, told: Sequence[Mapping[str, float]]) -> None:
        """Compare the dates of the leaves from `begin` on with those before them."""
        for index, clocks in enumerate(told, begin):
            self._go_on(index)
            for clock, shown in clocks.items():
                latest, of = self._latest.get(clock, (shown, index))
                whose = f" by {clock}" if clock else ""
                if shown > self._sealed + BOUND:
                    message = f"dated{whose} more than an hour after it was sealed"
                    self._add(index, message)
                elif shown < latest - BOUND:
                    message = f"dated{whose} more than an hour before leaf {of}"
                    self._add(index, f"{message}, which was sealed earlier")
                elif shown >= latest:
                    self._latest[clock] = shown, index

    def _go_on(self, index: int) -> None:
        """Find when the first kept checkpoint with a leaf was signed, if any was."""
        while self._next <= index:
            line = next(self._lines, None)
            self._next = line["size"] if line else index + 1
            self._sealed = _seconds(line["at"]) if line else inf

    def _add(self, index: int, message: str) -> None:
        """Add a fault; what goes on from leaf to leaf is one."""
        place = self._runs.get(message)
        if place is not None and self.faults[place].until == index:
            self.faults[place] = replace(self.faults[place], until=index + 1)
            return
        self._runs[message] = len(self.faults)
        self.faults.append(Fault(TAMPERED, self.name, index, message, index + 1))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
