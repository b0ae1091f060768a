"""Revoke many people everywhere at once: a supplier leaves, a directory was stolen."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from portal import revocation
from portal.management.actors import command_actor
from portal.many import named_people, what_ends

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portal.accounts.models import User


class Command(BaseCommand):
    """Exit status 0 when all are revoked; otherwise nobody is."""

    help = "Revoke all the people in a file; without --people only say what would end."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take who, why, and how many that are."""
        parser.add_argument(
            "file",
            help="one person a line: us_7, a subject, or an e-mail address; - reads"
            " standard input; what follows # is a remark",
        )
        parser.add_argument("--reason", required=True)
        parser.add_argument(
            "--people",
            type=int,
            metavar="N",
            help="how many people that are, as a run without it said: does it",
        )

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Find everybody, say what ends, and end it if told so."""
        users = _people(_text(options["file"]))
        for line in _lines(users):
            self.stdout.write(line)
        if options["people"] is None:
            again = f"--people {len(users)}"
            self.stdout.write(f"nothing was done; {again} does it")
            return
        if options["people"] != len(users):
            msg = f"these are {len(users)} people, not {options['people']}"
            raise CommandError(msg)
        now = datetime.now(UTC)  # noqa: TID251 -- a command is an edge
        made = revocation.revoke_users(
            users=users,
            reason=options["reason"],
            actor=command_actor("revoke_users"),
            requested_at=now,
            now=now,
        )
        made[0].refresh_from_db(fields=["committed_at"])
        took = ((made[0].committed_at or now) - now).total_seconds() * 1000
        self.stdout.write(
            f"{len(made)} people revoked, committed after {took:.0f} ms:"
            f" rv_{made[0].pk} to rv_{made[-1].pk}"
        )


def _text(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"{name}: {exc}"
        raise CommandError(msg) from exc


def _people(text: str) -> Sequence[User]:
    """Return everybody named; nobody if anybody is not found."""
    named = named_people(text)
    if named.unknown:
        words = ", ".join(named.unknown)
        msg = f"nobody, or several people: {words}; nothing was done"
        raise CommandError(msg)
    if not named.users:
        raise CommandError("the file names nobody")
    return named.users


def _lines(users: Sequence[User]) -> Iterable[str]:
    for user in users:
        is_over = "" if user.is_active else " (disabled already)"
        yield f"{user.ref.id} {user} {user.email}{is_over}"
    ends = what_ends(users)
    yield (
        f"{ends.people} people, {ends.devices} devices, {ends.sessions} sessions,"
        f" {ends.connections} open connections"
    )
