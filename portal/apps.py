"""The composition root as an app: it brings the system checks and the commands."""

from __future__ import annotations

import gc
from typing import Final

from django.apps import AppConfig
from django.core.checks import Tags, register

from portal import checks

COLLECT_AFTER: Final = 50_000
"""Values made before the garbage collector looks for cycles, 700 by default.

Compiling makes hundreds of thousands of values and no cycle; looking through all of
them again and again took a third of its time. Python counts references besides.
"""


class PortalConfig(AppConfig):
    """Registers what must hold before the portal starts."""

    name = "portal"

    def ready(self) -> None:
        """Register the checks; let the garbage collector look less often."""
        gc.set_threshold(COLLECT_AFTER)
        register(checks.check_identity_provider, Tags.security)
        register(checks.check_encryption, Tags.security, deploy=True)
        register(checks.check_signing_key, Tags.security, deploy=True)
        register(checks.check_room, deploy=True)
