"""The console app: template tags and pages; no tables."""

from __future__ import annotations

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """Every page people see."""

    name = "portal.console"
    label = "console"
