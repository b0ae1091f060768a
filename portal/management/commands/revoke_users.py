"""Revoke many people everywhere at once: a supplier leaves, a directory was stolen."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allauth.usersessions.models import UserSession
from django.core.management.base import BaseCommand, CommandError

from audit.models import Connection
from peers.models import Device, DeviceState
from portal import revocation
from portal.accounts.models import User
from portal.accounts.selectors import find_user
from portal.management.actors import command_actor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


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
        users = _people(_lines(options["file"]))
        for line in _what_ends(users):
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
        self.stdout.write(
            f"{len(made)} people revoked: rv_{made[0].pk} to rv_{made[-1].pk}"
        )


def _lines(name: str) -> list[str]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"{name}: {exc}"
        raise CommandError(msg) from exc
    words = (line.partition("#")[0].strip() for line in text.splitlines())
    return [word for word in words if word]


def _people(words: Iterable[str]) -> Sequence[User]:
    """Return everybody named, once each; nobody if anybody is not found."""
    found: dict[int, User] = {}
    unknown = []
    for word in words:
        user = _person(word)
        if user is None:
            unknown.append(word)
        else:
            found[user.pk] = user
    if unknown:
        msg = f"nobody, or several people: {', '.join(unknown)}; nothing was done"
        raise CommandError(msg)
    if not found:
        raise CommandError("the file names nobody")
    return [found[pk] for pk in sorted(found)]


def _person(word: str) -> User | None:
    if "@" in word:
        same = [*User.objects.filter(email__iexact=word)[:2]]
        if len(same) == 1:
            return same[0]
    return find_user(word)


def _what_ends(users: Sequence[User]) -> Iterable[str]:
    devices = Device.objects.filter(owner__in=users, state=DeviceState.ACTIVE)
    connections = Connection.objects.filter(
        person_id__in=[user.ref.id for user in users],
        ended_at__isnull=True,
        verdict="allowed",
    )
    for user in users:
        is_over = "" if user.is_active else " (disabled already)"
        yield f"{user.ref.id} {user} {user.email}{is_over}"
    yield (
        f"{len(users)} people, {devices.count()} devices,"
        f" {UserSession.objects.filter(user__in=users).count()} sessions,"
        f" {connections.count()} open connections"
    )
