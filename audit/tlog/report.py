"""What is found wrong with a log: every fault, with its index where one is known."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from audit.tlog.pruned import Prune

TAMPERED: Final = "tampered"
INCOMPLETE: Final = "incomplete"


class MissingError(Exception):
    """A file of a log is not there."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: with which log, and from which leaf if one is known.

    `until` is the first leaf that it does not concern, where it concerns several.
    """

    what: str
    log: str
    index: int | None
    message: str
    until: int | None = None

    def __str__(self) -> str:
        """Return the fault as a line for people."""
        leaf = "" if self.index is None else f" leaf {self.index}"
        return f"{self.what}: {self.log or 'log'}{leaf}: {self.message}"


@dataclass(slots=True)
class Report:
    """All faults that were found, and what was looked at."""

    faults: list[Fault] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    prunes: list[Prune] = field(default_factory=list)
    """What proved leaves of the control log say may be missing, of either log."""
    forgotten: dict[str, str] = field(default_factory=dict)
    """Who was forgotten, as they say; and a digest of which events named them."""
    named: dict[tuple[str, str], str] = field(default_factory=dict)
    """For a log and somebody forgotten a digest of the rows that say their id."""

    def add(self, what: str, log: str, index: int | None, message: str) -> None:
        """Add a fault."""
        self.faults.append(Fault(what, log, index, message))

    def as_text(self) -> str:
        """Return the report for people."""
        facts = [f"{name}: {value}" for name, value in self.facts.items()]
        verdict = ("ok", TAMPERED, INCOMPLETE)[self.exit_code()]
        return "\n".join([*facts, *map(str, self.faults), verdict, ""])

    def exit_code(self) -> int:
        """Return 0: all is well, 1: somebody tampered, 2: something is missing."""
        kinds = {fault.what for fault in self.faults}
        return 1 if TAMPERED in kinds else 2 if kinds else 0

    def as_json(self) -> str:
        """Return the report for programs."""
        faults = [asdict(fault) for fault in self.faults]
        answer = {"ok": not faults, "exit": self.exit_code(), "faults": faults}
        return json.dumps({**answer, **self.facts}, indent=1) + "\n"
