"""Findings for eyes and for programs, and the exit status. Pure.

A finding is marked by a sign and by a word: neither colour nor a font is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from gateway.doctor.finding import Finding, Level

MARKS: Final = {
    Level.OK: "✔ ok     ",
    Level.WARNING: "! warning",
    Level.FAILURE: "✘ failure",
}
STATUSES: Final = {Level.OK: 0, Level.WARNING: 1, Level.FAILURE: 2}


def exit_status(found: Sequence[Finding]) -> int:
    """Return 0 if all is well, 1 with warnings, 2 with failures."""
    return max((STATUSES[finding.level] for finding in found), default=0)


def lines(found: Sequence[Finding]) -> Iterator[str]:
    """Yield a line for each finding, and below it how to mend it."""
    for finding in found:
        yield f"{MARKS[finding.level]}  {finding.check:<12}  {_plain(finding.says)}"
        if finding.fix:
            yield f"{'':25}→ {_plain(finding.fix)}"
    counts = [sum(f.level is level for f in found) for level in Level]
    yield f"{counts[0]} ok, {counts[1]} warnings, {counts[2]} failures"


def document(found: Sequence[Finding]) -> str:
    """Return the findings as one JSON object."""
    entries = [
        {"check": f.check, "level": f.level, "says": f.says, "fix": f.fix}
        for f in found
    ]
    return json.dumps({"status": exit_status(found), "findings": entries}, indent=1)


def _plain(text: str) -> str:
    """Return text that moves no cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)
