"""Which rows say somebody's id who was forgotten, and nothing in their leaf proves it.

A leaf commits to an id by its person's salt. When that is gone, a row could be given
the id of anybody else who was forgotten, and an act of the living laid at the door of
the dead. So the leaf of the forgetting says which rows were theirs (ADR 0029). Pure.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from audit.leaves import commitment, shape_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from audit.leaves import Row


def leaning(leaf: bytes, row: Row, gone: Collection[str]) -> frozenset[str]:
    """Return whose ids in a row nothing proves, of people who were forgotten.

    What was recorded after they were hangs on its nonce, and proves itself.

    Raises:
        LeafError: the row is none.
    """
    shape = shape_of(row, leaf)
    said = json.loads(leaf)
    return frozenset(
        part.person
        for part in shape.hidden
        if part.person in gone
        and said.get(part.part)
        != {"c": commitment(shape.nonce, part.part, part.identity)}
    )


def key_of(row: Row) -> str:
    """Return what a row is called in both the table and its leaf."""
    return str(row["uid"] if "uid" in row else f"{row['gateway_id']}/{row['sequence']}")
