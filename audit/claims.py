"""What a log says of itself: what was pruned, and who was forgotten. Pure.

Entries that are missing, and texts whose salt is gone, are excused by a leaf that says
so, or by nothing. Such leaves are in the control log, so that it is checked first; what
they say is believed when the log that holds them was proved.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from audit.leaning import key_of, leaning
from audit.leaves import MENTIONED
from audit.tlog.pruned import Prune
from audit.tlog.report import INCOMPLETE, TAMPERED, Fault, MissingError, Report
from audit.tlog.strict_json import strict_json
from audit.tlog.tiles import WIDTH
from audit.tlog.whole import is_pruned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from audit.leaves import Row
    from audit.tlog.note import Checkpoint
    from audit.tlog.tiles import TileTree

ROWS: Final = {"control": "events_sha256", "connections": "flows_sha256"}
"""In which detail ID016 says of each log which rows say somebody's id."""
CODES: Final = (b'"code":"AU005"', b'"code":"ID016"')


@dataclass(slots=True)
class Claims:
    """What some leaves say, and what their rows need to be excused for.

    `forgotten` maps a person to the digest of which events about others lost their
    name (`digest_of`), as their last leaf says; `gone` are those whose salt is missing,
    `marks` person and event where such a text went. `named` maps a log and a person to
    the digest of which rows say their id (`audit.leaning`), `leaning` are the rows that
    do, with their index, and `heard` how many rows each bundle had.
    """

    prunes: list[Prune] = field(default_factory=list)
    forgotten: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    marks: list[tuple[str, str]] = field(default_factory=list)
    named: dict[tuple[str, str], str] = field(default_factory=dict)
    leaning: list[tuple[str, int, str]] = field(default_factory=list)
    heard: dict[int, int] = field(default_factory=dict)

    def hear(self, begin: int, entries: Sequence[bytes]) -> None:
        """Take in what leaves say, from index `begin` on.

        A leaf that only looks like one of these says nothing; a prune has two people.
        """
        for index, entry in enumerate(entries, begin):
            if any(code in entry for code in CODES):
                try:
                    self._hear(index, strict_json(entry))
                except (ValueError, TypeError):
                    continue

    def need(
        self, index: int, entry: bytes, row: Row, salts: Mapping[str, object]
    ) -> None:
        """Take in whose salts a row lacks.

        Raises:
            LeafError: the row is none.
        """
        self.heard[index // WIDTH] = self.heard.get(index // WIDTH, 0) + 1
        gone = {person for person, salt in salts.items() if salt is None}
        for person in gone:
            if person.startswith(MENTIONED):
                self.marks.append((person.removeprefix(MENTIONED), str(row.get("uid"))))
            else:
                self.gone.add(person)
        if gone:
            self.leaning += (
                (person, index, key_of(row)) for person in leaning(entry, row, gone)
            )

    def merge(self, other: Claims) -> None:
        """Take in what later leaves of the same log say."""
        self.prunes += other.prunes
        self.forgotten |= other.forgotten
        self.gone |= other.gone
        self.marks += other.marks
        self.named |= other.named
        self.leaning += other.leaning
        self.heard |= other.heard

    def settle(
        self,
        report: Report,
        name: str,
        tree: TileTree,
        checkpoint: Checkpoint,
        faults: Iterable[Fault],
    ) -> None:
        """Add faults of a log to the report, but for what proved leaves excuse.

        `checkpoint` was accepted; where its root is not that of `tree`, nothing that
        this log says is proved.
        """
        log = checkpoint.origin.rpartition("/")[2]
        if is_proved(tree, checkpoint):
            report.prunes += self.prunes
            report.forgotten |= self.forgotten
            report.named |= self.named
        below = _pruned(report, name, log, tree, checkpoint)
        report.faults += (fault for fault in faults if not is_pruned(fault, below))
        report.faults += self._unexcused(report, name, whole=not below)
        kept = checkpoint.size - below
        if kept == sum(
            n for number, n in self.heard.items() if number * WIDTH >= below
        ):
            report.faults += self._moved(report, name, log, below)

    def _hear(self, index: int, leaf: object) -> None:
        match leaf:
            case {
                "code": "AU005",
                "details": {
                    "log": str(log),
                    "to": int(below),
                    "root": str(root),
                    "frontier": [*hashes],
                    "proposed_by": str(one),
                    "approved_by": str(other),
                },
            } if one and other and one != other:
                self.prunes.append(
                    Prune(
                        log=log,
                        leaf=index,
                        below=below,
                        root=bytes.fromhex(root),
                        hashes=tuple(map(bytes.fromhex, hashes)),
                    )
                )
            case {
                "code": "ID016",
                "details": {
                    "whose": str(whose),
                    "mentions_sha256": str(digest),
                    **said,
                },
            }:
                self.forgotten[whose] = digest
                self.named |= {
                    (log, whose): str(said[name])
                    for log, name in ROWS.items()
                    if name in said
                }

    def _moved(
        self, report: Report, name: str, log: str, below: int
    ) -> Iterator[Fault]:
        """Yield who is named by other rows than those that were theirs."""
        held: dict[str, list[str]] = {}
        for person, index, key in self.leaning:
            if index >= below:
                held.setdefault(person, []).append(key)
        for (told, person), digest in sorted(report.named.items()):
            if told == log and digest_of(held.get(person, ())) != digest:
                message = f"other rows say the id of {person} than were theirs"
                yield Fault(TAMPERED, name, None, message)

    def _unexcused(self, report: Report, name: str, *, whole: bool) -> list[Fault]:
        """Return who lacks a salt for no reason that the log gives."""
        texts: dict[str, list[str]] = {}
        for person, uid in self.marks:
            texts.setdefault(person, []).append(uid)
        found = []
        for person in sorted(self.gone | texts.keys()):
            digest = report.forgotten.get(person)
            if digest is None:
                # A copy may be a second older than the leaf, or of one log alone.
                message = f"{person} has no salt, and no leaf here forgets them"
                found.append(Fault(INCOMPLETE, name, None, message))
            elif whole and person in texts and digest_of(texts[person]) != digest:
                message = f"names of {person} went from other events than was said"
                found.append(Fault(TAMPERED, name, None, message))
        return found


def is_proved(tree: TileTree, checkpoint: Checkpoint) -> bool:
    """Return whether a tree is the one that was signed."""
    try:
        return tree.size == checkpoint.size and tree.root() == checkpoint.root
    except (MissingError, ValueError):
        return False


def digest_of(uids: Iterable[str]) -> str:
    """Return the SHA-256 of unique ids, sorted, one a line."""
    return hashlib.sha256("\n".join(sorted(uids)).encode()).hexdigest()


def _pruned(
    report: Report, name: str, log: str, tree: TileTree, checkpoint: Checkpoint
) -> int:
    """Return below which index a log was pruned; a wrong claim is a fault."""
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
    return below
