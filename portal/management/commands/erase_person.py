"""Forget a person who is gone, for good: names, salt, what was typed about them."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from audit.errors import ForgettingError
from portal import erasure
from portal.accounts.selectors import find_user
from portal.management.actors import command_actor

if TYPE_CHECKING:
    from audit.retention.blanking import Names
    from portal.accounts.models import User

GOES = """\
{person} will be forgotten. There is no way back but a backup.
goes:  the salt of their commitments; their name, e-mail address and identity; what
       their devices are called and where they were seen from; every copy of those in
       events, connections, alarms, searches, reasons, notes and policy files
stays: the log, its tree and every proof; what {person} did, as a number; devices and
       keys as numbers; tunnel addresses; what was exported, streamed or backed up
Whoever signs in with their identity later is somebody new, and active: close their
account at the identity provider first.
"""


class Command(BaseCommand):
    """Exit status 0 when done; without --confirm nothing is done."""

    help = "Forget a person who was revoked; without --confirm only say what goes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take who, why, and their number again."""
        parser.add_argument("user", help="us_7, or the subject at the provider")
        parser.add_argument("--reason", required=True, help="stays; names nobody")
        parser.add_argument(
            "--ordinary",
            action="append",
            default=[],
            metavar="WORD",
            help="a name that is an ordinary word: stays in what others wrote",
        )
        parser.add_argument("--confirm", metavar="us_7", help="their number: does it")

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Say what goes; forget them if told so; say what went."""
        user = _user(options["user"])
        now = datetime.now(UTC)  # noqa: TID251 -- a command is an edge
        try:
            erasure.check_may_go(user, now=now)
            names = erasure.names_of(user, ordinary=options["ordinary"])
            self.stdout.write(GOES.format(person=user.ref.id))
            self.stdout.write(_sought(names))
            if options["confirm"] is None:
                self.stdout.write(f"nothing was done; --confirm {user.ref.id} does it")
                return
            if options["confirm"] != user.ref.id:
                raise CommandError(f"that is {user.ref.id}, not {options['confirm']}")
            done = erasure.erase_person(
                user=user,
                reason=options["reason"],
                actor=command_actor("erase_person"),
                now=now,
                ordinary=options["ordinary"],
            )
        except ForgettingError as exc:
            raise CommandError(str(exc)) from exc
        log = done.log
        self.stdout.write(
            f"{done.person} is forgotten: {log.events} events, {log.flows} flow events,"
            f" {log.connections} connections, {log.mentions} events about others,"
            f" {done.devices} devices, {done.alarms} alarms,"
            f" {done.other_rows} other rows"
        )
        for name in done.stays:
            self.stdout.write(f"still bears their name: {name}; rename it by hand")


def _sought(names: Names) -> str:
    """Say which names cost events about others a part, and which do not."""
    sought, left = (
        ", ".join(map(repr, each)) or "nothing" for each in (names.certain, names.own)
    )
    return (
        f"in what others wrote, also in events about others, goes what holds {sought}\n"
        f"and stays {left}; --ordinary WORD lets a word stay that is an ordinary one\n"
    )


def _user(text: str) -> User:
    found = find_user(text)
    if found is None:
        raise CommandError(f"{text!r} is nobody, or the subject of several; say us_7")
    return found
