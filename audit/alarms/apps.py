"""Alarms as an app of their own: they read the log, nothing below needs them."""

from __future__ import annotations

from django.apps import AppConfig


class AlarmsConfig(AppConfig):
    """See the package's models for what lives here."""

    name = "audit.alarms"
    label = "alarms"
