"""The policies app."""

from __future__ import annotations

from django.apps import AppConfig


class PoliciesConfig(AppConfig):
    """See the package's models for what lives here."""

    name = "policies"
