"""Verify the log where it is kept: the verifier that auditors run, and the tables.

What an auditor checks on a copy is checked here on the database itself, in one moment
of it; beside it the tables are compared with each other, and the connections that
people search with the events they were drawn from.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import django
from django.db import connection as database
from django.db import connections, transaction

from audit.checking import check_tables
from audit.comparing import differences
from audit.errors import SealError
from audit.events import EventCode, Outcome
from audit.models import Log
from audit.retention.remembering import check_forgotten, told_forgotten
from audit.sealed_files import SealedFiles
from audit.sealing import tables
from audit.services import record
from audit.tlog.report import TAMPERED, MissingError, Report
from audit.verify.tree import fsck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from audit.actor import Actor
    from audit.models import AuditEvent
    from audit.sealing.deciding import Signed
    from audit.tlog.policy import Policy

# How much of a verification's answer its event tells.
FAULTS: Final = 10
FAULT_LENGTH: Final = 200


def verify_log(
    policy: Policy, *, signed: Mapping[Log, Signed] = {}, jobs: int = 1
) -> Report:
    """Return everything that is wrong with both logs; changes and records nothing.

    `signed` is what the sealer's own files remember, where they can be read: what the
    database has less than that was taken out of it. With two `jobs` the connections
    are compared in a process of their own, in a moment of theirs: they and their
    events are written together.
    """
    report = Report(forgotten=told_forgotten())
    with _compared(jobs) as compared, _one_moment():
        for log in Log:
            if log in signed:
                _check_signed(log, signed[log], report)
            check_tables(log, report)
            try:
                fsck(SealedFiles(log), policy, report)
            except MissingError:
                report.facts[log.value] = "nothing was sealed yet"
        check_forgotten(report)
        for message in compared():
            report.add(TAMPERED, Log.CONNECTIONS.value, None, message)
    return report


def record_verification(report: Report, *, actor: Actor, now: datetime) -> AuditEvent:
    """Record that the log was verified; an alert where anything was found."""
    return record(
        EventCode.AUDIT_VERIFY,
        outcome=Outcome.ALERT if report.faults else Outcome.DONE,
        actor=actor,
        now=now,
        details={
            "faults": len(report.faults),
            "first": [str(fault)[:FAULT_LENGTH] for fault in report.faults[:FAULTS]],
        },
    )


def _check_signed(log: Log, signed: Signed, report: Report) -> None:
    size = tables.size(log)
    if size < signed.size:
        told = f"{signed.size} leaves were signed, and {size} are there"
        report.add(TAMPERED, log.value, size, told)
        return
    try:
        root = tables.root_at(log, signed.size)
    except SealError as exc:
        report.add(TAMPERED, log.value, None, str(exc))
        return
    if root != signed.root:
        told = f"the first {signed.size} leaves are not the ones that were signed"
        report.add(TAMPERED, log.value, None, told)


@contextmanager
def _compared(jobs: int) -> Iterator[Callable[[], list[str]]]:
    """Return what tells how connections differ, at work already with two jobs."""
    if jobs == 1:
        yield _differences
        return
    # Not by fork: a connection to the database belongs to one process.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=django.setup) as pool:
        yield pool.submit(_differences).result


def _differences() -> list[str]:
    with _one_moment():
        return list(map(str, differences()))


@contextmanager
def _one_moment() -> Iterator[None]:
    """Read all tables as they were at one moment, while the sealer goes on."""
    outermost = not database.in_atomic_block
    wrapper: Any = connections["default"]
    mode = getattr(wrapper, "transaction_mode", None)
    if mode:
        # SQLite: who reads takes no writer's lock, or revocations would wait.
        wrapper.transaction_mode = "DEFERRED"
    with transaction.atomic():
        if mode:
            wrapper.transaction_mode = mode
        if outermost and database.vendor == "postgresql":
            with database.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield
