"""The policies app."""

from __future__ import annotations

from django.apps import AppConfig


class PoliciesConfig(AppConfig):
    """See the package's models for what lives here."""

    name = "policies"

    def ready(self) -> None:
        """Listen to the layers below."""
        # Models exist only now, so this cannot stand at the top of the file.
        import policies.receivers  # noqa: F401, PLC0415
