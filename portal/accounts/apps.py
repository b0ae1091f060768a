"""The accounts app."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, groups, sign-in."""

    name = "portal.accounts"
    label = "accounts"
