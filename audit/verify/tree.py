"""`fsck`: the tree as `audit.tlog.whole` checks it."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

from audit.tlog.note import NoteError
from audit.tlog.report import TAMPERED, Report
from audit.tlog.tiles import WIDTH
from audit.tlog.whole import (
    Bundle,
    check_bundle,
    check_checkpoint,
    checked_tree,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audit.tlog.policy import Policy
    from audit.verify.data import LogFiles

CHUNK: Final = 64
HISTORY: Final = "checkpoints.jsonl"


def fsck(files: LogFiles, policy: Policy, report: Report, *, jobs: int = 1) -> None:
    """Check one log and add every fault to the report."""
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
    roots: list[bytes | None] = []
    with ExitStack() as stack:
        check = partial(_check, files, size)
        numbers = range(-(-size // WIDTH))
        found: Iterable[Bundle] = map(check, numbers)
        if jobs > 1 and len(numbers) > CHUNK:
            # Not by fork: the caller may have threads.
            spawn = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(jobs, mp_context=spawn))
            found = pool.map(check, numbers, chunksize=CHUNK)
        for bundle in found:
            report.faults += bundle.faults
            roots.append(bundle.root)
    tree = checked_tree(files, size, roots, report.faults)
    sure = 0
    old = policy.without_quorum()
    for line in files.lines(HISTORY):
        sure, wrong = check_checkpoint(
            files, old, tree, line["note"].encode(), sure=sure
        )
        report.faults += wrong
    report.faults += check_checkpoint(files, policy, tree, note, sure=sure)[1]


def _check(files: LogFiles, size: int, number: int) -> Bundle:
    found = check_bundle(files, size, number)
    # Not to be sent from process to process.
    found.entries = []
    return found
