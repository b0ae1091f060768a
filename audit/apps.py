"""The audit app."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.signals import got_request_exception
from django.db.backends.signals import connection_created

from audit import room
from audit.search.lookups import know_functions


class AuditConfig(AppConfig):
    """See the package's models for what lives here."""

    name = "audit"

    def ready(self) -> None:
        """Let SQLite know the functions of the search; hear of full disks."""
        connection_created.connect(know_functions, dispatch_uid="audit.search.lookups")
        got_request_exception.connect(
            room.make_after_failure, dispatch_uid="audit.room"
        )
