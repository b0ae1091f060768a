"""Enable a person again from the server, when nobody is left to do it in the portal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.core.management.base import BaseCommand, CommandError

from audit.actor import Actor, ActorKind
from portal.accounts import services
from portal.accounts.errors import ForgottenError
from portal.accounts.selectors import find_user

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """`manage.py reactivate_user alice --reason …`: the last owner comes back so."""

    help = "Enable a person (us_7, or their subject) who was revoked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the person and the reason."""
        parser.add_argument("person")
        parser.add_argument("--reason", required=True)

    def handle(self, *_args: object, **options: str) -> None:
        """Enable them and say so."""
        user = find_user(options["person"])
        if user is None:
            msg = f"nobody, or more than one, is called {options['person']}"
            raise CommandError(msg)
        try:
            services.reactivate_user(
                user=user,
                reason=options["reason"],
                actor=Actor(kind=ActorKind.COMMAND, label="manage.py reactivate_user"),
                now=datetime.now(UTC),  # noqa: TID251 -- the edge
            )
        except ForgottenError as exc:
            raise CommandError(str(exc)) from exc
        self.stdout.write(f"{user} ({user.ref.id}) may sign in again")
