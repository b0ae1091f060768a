"""`fsck`: the tree as `audit.tlog.whole` checks it, and the rows that people read."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

from audit.claims import Claims
from audit.dates import Dates, moments
from audit.rows import check_rows, has_rows
from audit.tlog.note import NoteError
from audit.tlog.report import TAMPERED, Fault, Report
from audit.tlog.tiles import WIDTH
from audit.tlog.whole import (
    HISTORY,
    Bundle,
    check_bundle,
    check_checkpoint,
    checked_tree,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audit.tlog.policy import Policy
    from audit.tlog.whole import Files

CHUNK: Final = 64


def fsck(files: Files, policy: Policy, report: Report, *, jobs: int = 1) -> None:
    """Check one log, with its rows if it has any; add every fault to the report."""
    note = files.read("checkpoint")
    try:
        accepted = policy.check(note)
    except NoteError as exc:
        report.add(TAMPERED, files.name, None, f"the checkpoint is refused: {exc}")
        return
    size = accepted.checkpoint.size
    report.facts[accepted.checkpoint.origin] = {
        "size": size,
        "root": accepted.checkpoint.root.hex(),
        "witnesses": dict(accepted.witnesses),
    }
    faults: list[Fault] = []
    roots: list[bytes | None] = []
    history, claims = files.lines(HISTORY), Claims()
    dates = Dates(name=files.name, history=history)
    with ExitStack() as stack:
        numbers = range(-(-size // WIDTH))
        ends = {0, len(numbers) - 1} if numbers else set()
        rows = any(has_rows(files, number) for number in ends)
        check = partial(_check, files, size, rows=rows)
        found: Iterable[Bundle] = map(check, numbers)
        if jobs > 1 and len(numbers) > CHUNK:
            # Not by fork: the caller may have threads.
            spawn = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(jobs, mp_context=spawn))
            found = pool.map(check, numbers, chunksize=CHUNK)
        for bundle in found:
            faults += bundle.faults
            dates.hear(bundle.number * WIDTH, bundle.moments)
            claims.merge(bundle.claims)
            roots.append(bundle.root)
    tree = checked_tree(files, size, roots, faults)
    faults += dates.faults
    sure, old = 0, policy.without_quorum()
    for line in history:
        kept = line["note"].encode()
        sure, wrong = check_checkpoint(files, old, tree, kept, sure=sure)
        faults += wrong
    sure, wrong = check_checkpoint(files, policy, tree, note, sure=sure)
    faults += wrong
    claims.settle(report, files.name, tree, accepted.checkpoint, faults)


def _check(files: Files, size: int, number: int, *, rows: bool) -> Bundle:
    found = check_bundle(files, size, number)
    found.claims = Claims()
    found.claims.hear(number * WIDTH, found.entries)
    if rows and found.entries:
        found.faults += check_rows(files, number, found.entries, found.claims)
    found.moments = list(map(moments, found.entries))
    # Not to be sent from process to process.
    found.entries = []
    return found
