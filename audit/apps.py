"""The audit app."""

from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """See the package's models for what lives here."""

    name = "audit"
