"""What gateways are told to cut off before they are told anything else."""

from __future__ import annotations

from django.db import models


class RevocationNotice(models.Model):
    """Keys that are revoked for ever, with the devices that are revoked with them.

    Append-only, and for every gateway. A number is given out in the order of commits:
    whoever takes the next one waits until the transaction that holds it has ended, so
    that a gateway that has heard of a number has heard of all before it.
    """

    id = models.BigAutoField(primary_key=True)
    number = models.PositiveBigIntegerField(unique=True)
    issued_at = models.DateTimeField(db_index=True)
    devices = models.JSONField()
    keys = models.JSONField()

    class Meta:
        """In order."""

        ordering = ("number",)

    def __str__(self) -> str:
        """Return the number."""
        return f"notice {self.number}"
