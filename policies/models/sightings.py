"""Where devices were seen to come from, as gateways told."""

from __future__ import annotations

from django.db import models

from peers.models import Device, Gateway


class TunnelSighting(models.Model):
    """A device shook hands with a gateway, or came from another outer address.

    `bytes_up` and `bytes_down` are what it had moved since the gateway made its tunnel;
    unknown of what was stored before. `is_told` marks the one that an alert was about.
    """

    gateway = models.ForeignKey(
        Gateway, on_delete=models.CASCADE, related_name="sightings"
    )
    device = models.ForeignKey(
        Device, on_delete=models.CASCADE, related_name="sightings"
    )
    seen_at = models.DateTimeField()
    handshake_at = models.DateTimeField(null=True, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    port = models.PositiveIntegerField(null=True, blank=True)
    bytes_up = models.PositiveBigIntegerField(null=True, blank=True)
    bytes_down = models.PositiveBigIntegerField(null=True, blank=True)
    is_told = models.BooleanField(default=False)

    class Meta:
        """By device and time."""

        indexes = (models.Index(fields=("device", "seen_at"), name="sighting_device"),)

    def __str__(self) -> str:
        """Return device and address."""
        return f"dv_{self.device_id} {self.address}"
