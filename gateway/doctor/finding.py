"""One thing that `doctor` checked, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was checked; `fix` is empty only where nothing needs one."""

    check: str
    level: Level
    says: str
    fix: str = ""


def ok(check: str, says: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(check=check, level=Level.OK, says=says)


def warning(check: str, says: str, fix: str) -> Finding:
    """Return that something is odd."""
    return Finding(check=check, level=Level.WARNING, says=says, fix=fix)


def failure(check: str, says: str, fix: str) -> Finding:
    """Return that something does not work."""
    return Finding(check=check, level=Level.FAILURE, says=says, fix=fix)
