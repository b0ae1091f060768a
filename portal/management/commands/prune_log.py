"""Prune a log: one administrator proposes, another one approves, then the rows go.

    manage.py prune_log LOG                                what waits, what went
    manage.py prune_log LOG --below N --as us_3 --reason TEXT
    manage.py prune_log LOG --older-than DAYS --as us_3 --reason TEXT
    manage.py prune_log LOG --approve pr_1 --as us_4
    manage.py prune_log LOG --withdraw pr_1 --reason TEXT
    manage.py prune_log LOG --run                          deletes what was approved

Whoever has a shell here can name anybody: what makes it two people is that both are in
the leaf, and that the leaf is an alert.
"""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any, TypedDict

from django.core.management.base import BaseCommand, CommandError

from audit.actor import Actor
from audit.errors import PruneError
from audit.models import Log, Prune
from audit.retention import pruning
from portal.accounts.selectors import find_user
from portal.management.actors import command_actor


class Acting(TypedDict):
    """Who does it, and when."""

    actor: Actor
    now: datetime


class Command(BaseCommand):
    """See the module."""

    help = "Propose, approve and carry out the pruning of a log."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take which log, and one thing to do."""
        parser.add_argument("log", choices=[log.value for log in Log])
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--below", type=int, metavar="N", help="a multiple of 256")
        what.add_argument("--older-than", type=int, metavar="DAYS")
        what.add_argument("--approve", metavar="pr_1")
        what.add_argument("--withdraw", metavar="pr_1")
        what.add_argument("--run", action="store_true")
        parser.add_argument("--as", dest="who", metavar="us_3", help="who wants it")
        parser.add_argument("--reason", default="")

    def handle(self, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Do the one thing, and show how every prune of the log stands."""
        log = Log(options["log"])
        now = datetime.now(UTC)  # noqa: TID251 -- a command is an edge
        try:
            self._do(log, options, now)
        except PruneError as exc:
            raise CommandError(str(exc)) from exc
        for prune in Prune.objects.filter(log=log):
            self.stdout.write(_line(prune))

    def _do(self, log: Log, options: dict[str, Any], now: datetime) -> None:
        by: Acting = {"actor": command_actor("prune_log"), "now": now}
        if options["approve"]:
            prune = _prune(log, options["approve"])
            who = _administrator(options["who"])
            pruning.approve_prune(prune=prune, approver=who, **by)
        elif options["withdraw"]:
            prune = _prune(log, options["withdraw"])
            pruning.withdraw_prune(prune=prune, reason=options["reason"], **by)
        elif options["run"]:
            approved = Prune.objects.filter(
                log=log, approved_at__isnull=False, done_at=None
            ).first()
            if approved is None:
                raise CommandError(f"no prune of the {log.value} log is approved")
            for far in pruning.carry_out(prune=approved, **by):
                told = f"{far.events} events, {far.connections} connections are gone"
                self.stdout.write(told)
        elif options["below"] is not None or options["older_than"] is not None:
            pruning.propose_prune(
                log=log,
                below=_below(log, options, now),
                proposer=_administrator(options["who"]),
                reason=options["reason"],
                **by,
            )


def _below(log: Log, options: dict[str, Any], now: datetime) -> int:
    if options["below"] is not None:
        return int(options["below"])
    return pruning.oldest_kept(log, now=now, days=options["older_than"])


def _administrator(text: str | None) -> str:
    """Return the id of an active administrator.

    Raises:
        CommandError: that is none.
    """
    found = find_user(text) if text else None
    if found is None or not found.is_administrator:
        raise CommandError(f"--as: {text!r} is no administrator, as us_3")
    return found.ref.id


def _prune(log: Log, text: str) -> Prune:
    number = text.removeprefix("pr_")
    known = Prune.objects.filter(log=log)
    found = known.filter(pk=int(number)).first() if number.isdecimal() else None
    if found is None:
        raise CommandError(f"there is no prune {text!r} of the {log.value} log")
    return found


def _line(prune: Prune) -> str:
    state = f"proposed by {prune.proposer_id}, waits for another administrator"
    if prune.withdrawn_at:
        state = "withdrawn"
    elif prune.done_at:
        state = f"gone since {prune.done_at:%Y-%m-%d}"
    elif prune.approved_at:
        state = f"approved by {prune.approver_id}: --run deletes it"
    return f"{prune.ref.id}: {prune}: {state}"
