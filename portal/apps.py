"""The composition root as an app: it brings the system checks and the commands."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register

from portal import checks


class PortalConfig(AppConfig):
    """Registers what must hold before the portal starts."""

    name = "portal"

    def ready(self) -> None:
        """Register the checks."""
        register(checks.check_identity_provider, Tags.security)
        register(checks.check_encryption, Tags.security, deploy=True)
        register(checks.check_signing_key, Tags.security, deploy=True)
