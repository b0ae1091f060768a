"""The terms of a grant: to whom, from when, until when, on what conditions, why."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from policies.compiler.conditions import MAX_AGE, MIN_AGE
from portal.accounts.models import Group


class Terms(models.Model):
    """One user or one group, for a time.

    `expires_at` null means no end; `ended_at` is set when an administrator ends
    it. Such a row is never deleted: the log speaks of it.

    With a `time_zone` it holds in its `windows` only, by the clocks there. `amr` are
    the methods that the latest sign-in must have used, all of them, `acr` the classes
    of which it must be one; empty demands nothing.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="%(class)ss",
    )
    group = models.ForeignKey(
        Group,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="%(class)ss",
    )
    not_before = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=64, blank=True)
    windows = models.JSONField(default=list, blank=True)
    max_auth_age_seconds = models.PositiveIntegerField(null=True, blank=True)
    amr = models.JSONField(default=list, blank=True)
    acr = models.JSONField(default=list, blank=True)
    needs_approved_device = models.BooleanField(default=False)
    reason = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Exactly one subject; an end after the beginning."""

        abstract = True
        ordering = ("-id",)
        constraints: ClassVar[tuple[models.BaseConstraint, ...]] = (
            models.CheckConstraint(
                condition=Q(user__isnull=False, group__isnull=True)
                | Q(user__isnull=True, group__isnull=False),
                name="policies_%(class)s_exactly_one_subject",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__isnull=True)
                | Q(expires_at__gt=F("not_before")),
                name="policies_%(class)s_ends_after_it_begins",
            ),
            models.CheckConstraint(
                condition=Q(time_zone="", windows=[])
                | ~Q(time_zone="") & ~Q(windows=[]),
                name="policies_%(class)s_hours_have_a_zone",
            ),
            models.CheckConstraint(
                condition=Q(max_auth_age_seconds__isnull=True)
                | Q(max_auth_age_seconds__range=(MIN_AGE, MAX_AGE)),
                name="policies_%(class)s_age_of_a_minute_to_a_year",
            ),
        )
