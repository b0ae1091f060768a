"""The accounts app."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from portal.accounts import setup


class AccountsConfig(AppConfig):
    """Users, groups, sign-in."""

    name = "portal.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Have every migration leave behind what sign-in needs."""
        post_migrate.connect(setup.make_cache_table, sender=self)
        post_migrate.connect(setup.register_command_line, sender=self)
