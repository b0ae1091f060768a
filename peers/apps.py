"""The peers app."""

from __future__ import annotations

from django.apps import AppConfig


class PeersConfig(AppConfig):
    """See the package's models for what lives here."""

    name = "peers"
