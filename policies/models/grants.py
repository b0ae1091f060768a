"""Grants: who may reach what, for a time."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from audit.actor import Ref
from policies.models.applications import Application
from policies.models.labels import LabelGrant
from policies.models.terms import Terms


class Grant(Terms):
    """Subject (one user or one group) → application, for a time.

    `source` is the grant of a label that this one carries out, if any.
    """

    application = models.ForeignKey(
        Application, on_delete=models.PROTECT, related_name="grants"
    )
    source = models.ForeignKey(
        LabelGrant,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="grants",
    )

    class Meta(Terms.Meta):
        """Terms, and at most one open grant of a label for each application."""

        constraints: ClassVar[tuple[models.BaseConstraint, ...]] = (
            *Terms.Meta.constraints,
            models.UniqueConstraint(
                fields=("source", "application"),
                condition=Q(source__isnull=False, ended_at__isnull=True),
                name="policies_grant_one_open_per_source_and_application",
            ),
        )

    def __str__(self) -> str:
        """Return subject → application, and the label that gave it."""
        given = f" ({self.source.label})" if self.source else ""
        return f"{self.user or self.group} → {self.application}{given}"

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events and rulesets."""
        return Ref(id=f"gt_{self.pk}", label=str(self))
