"""The policy files that were applied, as they were sent."""

from __future__ import annotations

from django.db import models

from audit.actor import Ref


class PolicyVersion(models.Model):
    """A policy file that became the policy; never changed, never deleted (ADR-0015).

    But for one: who is forgotten stands in it by their number (ADR-0029).

    `number` counts without gaps: of two who apply at once, the second one's number is
    taken. `etag` is the SHA-256 of the text in canonical style. Who applied it is
    copied: the row outlives them.
    """

    id = models.BigAutoField(primary_key=True)
    number = models.PositiveBigIntegerField(unique=True)
    text = models.TextField()
    etag = models.CharField(max_length=64)
    applied_at = models.DateTimeField()
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=255, blank=True)

    class Meta:
        """The newest first."""

        ordering = ("-number",)

    def __str__(self) -> str:
        """Return which one it is."""
        return f"policy file {self.number}"

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events."""
        return Ref(id=f"pv_{self.number}", label=str(self))
