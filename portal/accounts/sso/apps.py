"""The sign-in provider as an app, so that allauth finds it."""

from __future__ import annotations

from django.apps import AppConfig


class SsoConfig(AppConfig):
    """OpenID Connect with every check switched on."""

    name = "portal.accounts.sso"
    label = "sso"
