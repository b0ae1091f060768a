"""Verify both logs where they are kept, and record the answer.

    manage.py verify_log [--key VKEY … | --policy FILE] [--jobs 2] [--json]

Without a key or policy the keys are those of the sealer, where this user may read
them: that finds edits of the database, and not somebody who has the key.

Exit: 0 all is well, 1 tampered, 2 incomplete, as the stand-alone verifier's. A run that
finds something is an alert in the log itself (AU004A).
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from audit.actor import Actor, ActorKind
from audit.errors import SealError
from audit.models import Log
from audit.sealing.keeping import last_signed, verifier_key
from audit.tlog.note import NoteError, parse_verifier_key
from audit.tlog.policy import Policy, PolicyError, parse_policy, trusting
from audit.verification import record_verification, verify_log
from audit.witness_states import named_policy

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from audit.sealing.deciding import Signed


class Command(BaseCommand):
    """See the module."""

    help = "Verify both logs in the database, and the connections drawn from them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say whom to believe."""
        parser.add_argument("--key", action="append", default=[], help="a log's key")
        parser.add_argument("--policy", help="a file: logs, witnesses, quorum")
        parser.add_argument(
            "--jobs", type=int, choices=(1, 2), default=1, help="processes at work"
        )
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Verify, record, tell."""
        report = verify_log(_policy(options), signed=_signed(), jobs=options["jobs"])
        record_verification(
            report,
            actor=Actor(kind=ActorKind.COMMAND, label="verify_log"),
            now=datetime.now(UTC),  # noqa: TID251 -- a command is an edge
        )
        self.stdout.write(report.as_json() if options["json"] else report.as_text())
        if code := report.exit_code():
            sys.exit(code)


def _policy(options: dict[str, Any]) -> Policy:
    try:
        if options["policy"]:
            return parse_policy(Path(options["policy"]).read_text(encoding="utf-8"))
        if options["key"]:
            return trusting(*map(parse_verifier_key, options["key"]))
        if (named := named_policy()) is not None:
            return named
    except (OSError, UnicodeDecodeError, NoteError, PolicyError) as exc:
        raise CommandError(str(exc)) from exc
    try:
        return trusting(*map(verifier_key, Log))
    except SealError as exc:
        raise CommandError(f"whom to believe? --key or --policy ({exc})") from exc


def _signed() -> dict[Log, Signed]:
    """Return what the sealer remembers, where this user may read it."""
    found = {}
    for log in Log:
        try:
            signed = last_signed(log)
        except (OSError, SealError):
            continue
        if signed is not None:
            found[log] = signed
    return found
