"""Everything a new portal needs before it starts; safe to run again."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Migrate, make the cache table, the signing key and the address pools."""

    help = "Prepare the database, the signing key and the address pools."

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Run each step; each leaves alone what is there."""
        verbosity = max(0, options["verbosity"] - 1)
        call_command("migrate", interactive=False, verbosity=verbosity)
        call_command("createcachetable", verbosity=verbosity)
        call_command("init_keys", stdout=self.stdout)
        call_command("init_pools", stdout=self.stdout)
