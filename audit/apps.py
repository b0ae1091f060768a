"""The audit app."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from audit.lookups import know_functions


class AuditConfig(AppConfig):
    """See the package's models for what lives here."""

    name = "audit"

    def ready(self) -> None:
        """Let every connection of SQLite know the functions of the search."""
        connection_created.connect(know_functions, dispatch_uid="audit.lookups")
