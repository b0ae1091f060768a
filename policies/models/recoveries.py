"""Gateways that hold what this portal never issued: it was restored from a backup."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from peers.models import Device, Gateway


class GatewayRecovery(models.Model):
    """A gateway that is ahead, from its first poll until it has taken a higher epoch.

    `epoch`, `generation` and `digest` are what the gateway says it holds. An operator
    asks (`asked_at`), the gateway shows what this portal had signed (`shown_at`,
    `devices` then are those it revoked), a `step` is signed, the gateway takes it
    (`ended_at`). `is_left_out`: the operator goes on without this one.
    """

    id = models.BigAutoField(primary_key=True)
    gateway = models.ForeignKey(
        Gateway, on_delete=models.CASCADE, related_name="recoveries"
    )
    epoch = models.PositiveIntegerField()
    generation = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64, blank=True)
    noticed_at = models.DateTimeField()
    asked_at = models.DateTimeField(null=True, blank=True)
    is_left_out = models.BooleanField(default=False)
    shown_at = models.DateTimeField(null=True, blank=True)
    floor = models.PositiveBigIntegerField(default=0)
    devices: models.ManyToManyField[Device, models.Model] = models.ManyToManyField(
        Device, blank=True
    )
    keys_forgotten = models.PositiveIntegerField(default=0)
    step_epoch = models.PositiveIntegerField(null=True, blank=True)
    step = models.TextField(blank=True)
    stepped_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Newest first; a gateway is ahead once at a time."""

        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("gateway",),
                condition=Q(ended_at__isnull=True),
                name="policies_gatewayrecovery_one_open",
            ),
        )

    def __str__(self) -> str:
        """Return the gateway and where it stands."""
        return f"{self.gateway_id} ahead at {self.epoch}.{self.generation}"
