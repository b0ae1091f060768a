"""Write docs/events.md from the catalogue: `python -m tests.docs.catalogue`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from audit.events import CATALOGUE, Outcome

PATH: Final = Path(__file__).parents[2] / "docs" / "events.md"

HEAD: Final = """# The catalogue of events

Made from `audit/events.py` by `python -m tests.docs.catalogue`; a test keeps it fresh.

An event is quoted as its code and how it ended, for example `DV012I`. A code is never
renamed and never used again. The outcome is one of:
{outcomes}.

| code | name | sentence |
|---|---|---|
"""

OUTCOMES: Final = {
    Outcome.DONE: "it happened",
    Outcome.REFUSED: "it was refused",
    Outcome.FAILED: "the system failed",
    Outcome.ALERT: "somebody should look",
}


def text() -> str:
    """Return the document."""
    outcomes = ", ".join(f"`{key.value}` {words}" for key, words in OUTCOMES.items())
    rows = (
        f"| {code.value} | `{kind.name}` | {kind.sentence.replace('_label', '')} |"
        for code, kind in sorted(CATALOGUE.items(), key=lambda item: item[0].value)
    )
    return HEAD.format(outcomes=outcomes) + "\n".join([*rows, ""])


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
