"""The rows that people read, against the leaves that were sealed. Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from audit.errors import LeafError
from audit.leaves import agrees
from audit.tlog.report import INCOMPLETE, TAMPERED, Fault
from audit.tlog.tiles import WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from audit.claims import Claims
    from audit.tlog.whole import Files


def check_rows(
    files: Files, number: int, entries: Sequence[bytes], claims: Claims
) -> Iterator[Fault]:
    """Yield each row of a bundle that is gone, or from which no such leaf is made.

    `claims` hears whose salts are missing.
    """
    begin = number * WIDTH
    try:
        held = {line["i"]: line for line in files.lines(rows_path(number))}
    except (ValueError, LookupError, TypeError) as exc:
        yield Fault(TAMPERED, files.name, begin, f"{rows_path(number)}: {exc!r}")
        return
    for index, entry in enumerate(entries, begin):
        line = held.pop(index, None)
        if line is None:
            yield Fault(INCOMPLETE, files.name, index, "the row of this leaf is gone")
            continue
        try:
            fits = agrees(entry, line["row"], salts(line["salts"]))
            claims.need(index, entry, line["row"], line["salts"])
            told = "the row is not as it was sealed"
        except (LeafError, ValueError, LookupError, TypeError, AttributeError) as exc:
            fits, told = False, f"the row makes no leaf: {exc!r}"
        if not fits:
            yield Fault(TAMPERED, files.name, index, told)
    for index in held:
        yield Fault(TAMPERED, files.name, index, "a row without a leaf")


def has_rows(files: Files, number: int) -> bool:
    """Return whether the rows of a bundle were exported, readable or not."""
    try:
        return bool(files.lines(rows_path(number)))
    except ValueError:
        return True


def rows_path(number: int) -> str:
    """Return where the rows of the leaves of a bundle are."""
    return f"rows/{number:06d}.jsonl"


def salts(encoded: Mapping[str, str | None]) -> dict[str, bytes | None]:
    """Return salts from base64; None is that of somebody who was forgotten."""
    return {
        person: None if salt is None else base64.b64decode(salt)
        for person, salt in encoded.items()
    }
