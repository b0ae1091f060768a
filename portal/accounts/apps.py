"""The accounts app."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_migrate

from portal.accounts import setup


class AccountsConfig(AppConfig):
    """Users, groups, sign-in."""

    name = "portal.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Connect what must happen by itself."""
        from portal.accounts import receivers  # noqa: PLC0415 -- needs loaded models

        post_migrate.connect(setup.make_cache_table, sender=self)
        post_migrate.connect(setup.register_command_line, sender=self)
        user_logged_out.connect(receivers.record_sign_out)
