"""Grants: who may reach what, for a time."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from audit.actor import Ref
from policies.models.applications import Application
from portal.accounts.models import Group


class Grant(models.Model):
    """Subject (one user or one group) → application, for a time.

    `expires_at` null means no end; `ended_at` is set when an administrator ends
    the grant. A grant is never deleted: the log speaks of it.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="grants",
    )
    group = models.ForeignKey(
        Group, on_delete=models.PROTECT, null=True, blank=True, related_name="grants"
    )
    application = models.ForeignKey(
        Application, on_delete=models.PROTECT, related_name="grants"
    )
    not_before = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Exactly one subject; an end after the beginning."""

        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(user__isnull=False, group__isnull=True)
                | Q(user__isnull=True, group__isnull=False),
                name="policies_grant_exactly_one_subject",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__isnull=True)
                | Q(expires_at__gt=F("not_before")),
                name="policies_grant_ends_after_it_begins",
            ),
        )

    def __str__(self) -> str:
        """Return subject → application."""
        return f"{self.user or self.group} → {self.application}"

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events and rulesets."""
        return Ref(id=f"gt_{self.pk}", label=str(self))
