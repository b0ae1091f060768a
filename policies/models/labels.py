"""Labels: groups of applications that are granted together."""

from __future__ import annotations

from django.db import models

from audit.actor import Ref
from policies.models.terms import Terms


class Label(models.Model):
    """A name that applications bear; policy files spell it `tag:NAME`."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=63, unique=True)
    created_at = models.DateTimeField()

    class Meta:
        """By name."""

        ordering = ("name",)

    def __str__(self) -> str:
        """Return the name as policy files spell it."""
        return f"tag:{self.name}"

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events."""
        return Ref(id=f"lb_{self.pk}", label=str(self))


class LabelGrant(Terms):
    """Subject → every application that bears a label, now or later, for a time.

    It is carried out as one `Grant` for each such application, made and ended by the
    services of labels: what a gateway enforces, the log names and an explanation
    tells stays one subject and one application.
    """

    label = models.ForeignKey(Label, on_delete=models.PROTECT, related_name="grants")

    class Meta(Terms.Meta):
        """As any terms."""

    def __str__(self) -> str:
        """Return subject → label."""
        return f"{self.user or self.group} → {self.label}"

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events."""
        return Ref(id=f"lg_{self.pk}", label=str(self))
