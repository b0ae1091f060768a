"""Revocations of people, and what each gateway must still do."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from peers.models import Device, Gateway
from policies.models.notices import RevocationNotice


class Revocation(models.Model):
    """One act of revoking a person: when it was asked, and what it waits for.

    `notice` is what gateways are told at once; None if the person never had a key.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="revocations"
    )
    requested_at = models.DateTimeField()
    committed_at = models.DateTimeField(null=True, blank=True)
    actor_label = models.CharField(max_length=255)
    reason = models.CharField(max_length=255)
    devices: models.ManyToManyField[Device, models.Model] = models.ManyToManyField(
        Device, blank=True
    )
    notice = models.ForeignKey(
        RevocationNotice,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="revocations",
    )
    sessions_ended = models.PositiveIntegerField(default=0)
    tokens_revoked = models.PositiveIntegerField(default=0)

    class Meta:
        """Newest first."""

        ordering = ("-id",)

    def __str__(self) -> str:
        """Return whose revocation it is."""
        return f"revocation {self.pk} of {self.user_id}"


class RevocationTarget(models.Model):
    """A gateway that must enforce a revocation: by the notice, or by `generation`.

    Whichever it reports first counts. `notified_at` is when the notice was written to
    the gateway's waiting request and `reported_at` when its report was recorded, by
    the portal's clock; `received_at` and `enforced_at` are the gateway's own.
    `timings` says how long each step took there, in milliseconds.
    """

    id = models.BigAutoField(primary_key=True)
    revocation = models.ForeignKey(
        Revocation, on_delete=models.CASCADE, related_name="targets"
    )
    gateway = models.ForeignKey(Gateway, on_delete=models.PROTECT)
    generation = models.PositiveBigIntegerField(null=True)
    notified_at = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField(null=True, blank=True)
    enforced_at = models.DateTimeField(null=True, blank=True)
    reported_at = models.DateTimeField(null=True, blank=True)
    timings = models.JSONField(default=dict, blank=True)
    flows_cut = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        """One row a gateway."""

        constraints = (
            models.UniqueConstraint(
                fields=("revocation", "gateway"),
                name="policies_revocationtarget_once",
            ),
        )

    def __str__(self) -> str:
        """Return which gateway."""
        return f"{self.revocation_id} at {self.gateway_id}"
