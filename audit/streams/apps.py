"""Streams of the log as an app of their own: they read the log, nobody needs them."""

from __future__ import annotations

from django.apps import AppConfig


class StreamsConfig(AppConfig):
    """See the package's models for what lives here."""

    name = "audit.streams"
    label = "streams"
