"""Write docs/events.md from the catalogue: `python -m tests.docs.catalogue`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from audit.catalogue.kinds import SECRET_NEVER, Privacy
from audit.events import AREAS, ENDINGS, RESERVED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from audit.catalogue.kinds import EventType, Field

PATH: Final = Path(__file__).parents[2] / "docs" / "events.md"

HEAD: Final = """# The catalogue of events

Made from `audit/catalogue` by `python -m tests.docs.catalogue`; a test keeps it fresh.

An event is quoted as its code and how it ended, for example `DV012I`. A code is never
renamed and never used again. The outcome is one of:
{outcomes}.

The severity stands beside each outcome that a code may have. Fields are those of
`details`; one marked * says something of a person: the tree holds a commitment to it,
not the text. One marked ? may be null. A field that is not listed here is written only
when the product is wrong, and counts as personal then. A reason is free text.

No event holds a field named {secrets}, at any depth.
"""

TABLE: Final = """
## {area}

| code | name | ends as | sentence | means | to do | fields |
|---|---|---|---|---|---|---|
"""

RESERVED_HEAD: Final = """
## Reserved

Numbers that mean nothing yet. No other event may take them.

| code | name | why not |
|---|---|---|
"""


def text() -> str:
    """Return the document."""
    outcomes = ", ".join(f"`{key.value}` {words}" for key, words in ENDINGS.items())
    secrets = ", ".join(f"`{name}`" for name in sorted(SECRET_NEVER))
    parts = [HEAD.format(outcomes=outcomes, secrets=secrets)]
    for area, kinds in AREAS.items():
        rows = [_row(kind) for kind in sorted(kinds, key=lambda kind: kind.code.value)]
        parts.append(TABLE.format(area=area) + "\n".join([*rows, ""]))
    kept = [f"| {code} | `{name}` | {why} |" for code, (name, why) in RESERVED.items()]
    parts.append(RESERVED_HEAD + "\n".join([*kept, ""]))
    return "".join(parts)


def _row(kind: EventType) -> str:
    ends = ", ".join(
        f"`{outcome.value}` {level}" for outcome, level in kind.severities.items()
    )
    cells = (
        kind.code.value,
        f"`{kind.name}`",
        ends,
        kind.sentence.replace("_label", ""),
        kind.means,
        kind.remedy,
        _fields(kind.fields),
    )
    return f"| {' | '.join(cells)} |"


def _fields(fields: Mapping[str, Field]) -> str:
    return ", ".join(
        f"`{name}`{'*' * (field.privacy is Privacy.PERSONAL)}"
        f"{'?' * field.may_be_null} {field.shape}"
        for name, field in fields.items()
    )


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
