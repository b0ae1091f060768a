"""Give a person a role by hand, for deployments whose groups give none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.core.management.base import BaseCommand, CommandError

from audit.actor import Actor, ActorKind
from portal.accounts import services
from portal.accounts.models import Role
from portal.accounts.selectors import find_user

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """`manage.py assign_role alice owner`: the first owner comes from here."""

    help = "Give a person (us_7, or their subject) a role."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the person and the role."""
        parser.add_argument("person")
        parser.add_argument("role", choices=Role.values)

    def handle(self, *_args: object, **options: str) -> None:
        """Assign it and say so."""
        user = find_user(options["person"])
        if user is None:
            msg = f"nobody, or more than one, is called {options['person']}"
            raise CommandError(msg)
        services.assign_role(
            user=user,
            role=Role(options["role"]),
            actor=Actor(kind=ActorKind.COMMAND, label="manage.py assign_role"),
            now=datetime.now(UTC),  # noqa: TID251 -- the edge
        )
        self.stdout.write(f"{user} ({user.ref.id}) is {user.role}")
