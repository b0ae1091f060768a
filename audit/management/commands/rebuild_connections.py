"""Make the searchable connections anew from the flow events they were drawn from."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from audit import services


class Command(BaseCommand):
    """See the module."""

    help = "Rebuild the table of connections from the flow events."

    def handle(self, **_options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Rebuild and say how many there are."""
        count = services.rebuild_connections()
        self.stdout.write(f"{count} connections")
