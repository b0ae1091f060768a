"""What gateways say that host names stand for."""

from __future__ import annotations

from django.db import models

from peers.models import Gateway


class Resolution(models.Model):
    """What a gateway said last, for people to read; nothing is decided by it.

    `names` maps each host name to its addresses, as text.
    """

    id = models.BigAutoField(primary_key=True)
    gateway = models.OneToOneField(
        Gateway, on_delete=models.CASCADE, related_name="resolution"
    )
    told_at = models.DateTimeField()
    names = models.JSONField(default=dict)

    def __str__(self) -> str:
        """Return the gateway and when it said so."""
        return f"{self.gateway} at {self.told_at:%FT%TZ}"
