"""Everything a new portal needs before it starts; safe to run again."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Migrate, make the cache table, the signing key, the pools, the static files."""

    help = "Prepare database, signing key, address pools and static files."

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Run each step; each leaves alone what is there."""
        verbosity = max(0, options["verbosity"] - 1)
        # SQLite makes a file but not the folder it lies in.
        settings.PEERAGE_STATE_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        call_command("migrate", interactive=False, verbosity=verbosity)
        call_command("createcachetable", verbosity=verbosity)
        call_command("init_keys", stdout=self.stdout)
        call_command("init_pools", stdout=self.stdout)
        call_command("collectstatic", interactive=False, verbosity=verbosity)
