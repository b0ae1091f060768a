"""The rows that people read, against the leaves that were sealed. Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from audit.errors import LeafError
from audit.leaves import agrees
from audit.tlog.pruned import Prune
from audit.tlog.report import INCOMPLETE, TAMPERED, Fault, MissingError, Report
from audit.tlog.strict_json import strict_json
from audit.tlog.tiles import WIDTH
from audit.tlog.whole import is_pruned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from audit.tlog.note import Checkpoint
    from audit.tlog.tiles import TileTree
    from audit.tlog.whole import Files

PRUNED: Final = b'"code":"AU005"'


def check_rows(files: Files, number: int, entries: Sequence[bytes]) -> Iterator[Fault]:
    """Yield each row of a bundle that is gone, or from which no such leaf is made."""
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


def prunes(begin: int, data: Sequence[bytes]) -> list[Prune]:
    """Return what leaves from index `begin` on say of prunes of either log."""
    return [
        found
        for index, entry in enumerate(data, begin)
        if PRUNED in entry and (found := _prune(index, entry))
    ]


def excuse(
    report: Report,
    name: str,
    tree: TileTree,
    checkpoint: Checkpoint,
    faults: Iterable[Fault],
) -> None:
    """Add faults of a log to the report, but for what a proved prune covers.

    The root of `checkpoint`, which was accepted, is that of `tree`; `report.prunes` is
    what proved leaves say.
    """
    log = checkpoint.origin.rpartition("/")[2]
    below = 0
    for prune in report.prunes:
        if prune.log != log:
            continue
        try:
            prune.check(tree, checkpoint.root)
        except ValueError as exc:
            message = f"leaf {prune.leaf} of control tells of a prune, but {exc}"
            report.faults.append(Fault(TAMPERED, name, 0, message, prune.below))
        except MissingError:
            # What is missing beyond a prune is told where it is missing.
            continue
        else:
            below = max(below, prune.below)
            told = f"below {prune.below}, proved by leaf {prune.leaf} of control"
            report.facts[checkpoint.origin]["pruned"] = told
    report.faults += (fault for fault in faults if not is_pruned(fault, below))


def _prune(index: int, entry: bytes) -> Prune | None:
    """Return a prune; nothing for a leaf that only looks like one: it excuses none."""
    try:
        match strict_json(entry):
            case {
                "code": "AU005",
                "details": {
                    "log": str(log),
                    "to": int(below),
                    "root": str(root),
                    "frontier": [*hashes],
                },
            }:
                return Prune(
                    log=log,
                    leaf=index,
                    below=below,
                    root=bytes.fromhex(root),
                    hashes=tuple(map(bytes.fromhex, hashes)),
                )
    except (ValueError, TypeError):
        return None
    return None
