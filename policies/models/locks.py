"""Locks: what nobody gets past, whatever is granted."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Final, TypeAlias

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from audit.actor import Ref
from peers.models import Device, Gateway
from policies.models.applications import Application
from portal.accounts.models import Group

if TYPE_CHECKING:
    from portal.accounts.models import User

Lockable: TypeAlias = "User | Device | Group | Application | Gateway"

TARGETS: Final = ("user", "device", "group", "application", "gateway")


def exactly_one() -> Q:
    """Return the condition that one target is there, and no other."""
    return reduce(
        or_,
        (
            Q(**{f"{name}__isnull": name != chosen for name in TARGETS})
            for chosen in TARGETS
        ),
    )


class Lock(models.Model):
    """A deny on one user, device, group, application or gateway; it beats every grant.

    `message` is told to whom it stops. `expires_at` null means until it is lifted;
    `lifted_at` is set when an administrator lifts it. A lock is never deleted: the
    log speaks of it.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="locks",
    )
    device = models.ForeignKey(
        Device, on_delete=models.PROTECT, null=True, blank=True, related_name="locks"
    )
    group = models.ForeignKey(
        Group, on_delete=models.PROTECT, null=True, blank=True, related_name="locks"
    )
    application = models.ForeignKey(
        Application,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="locks",
    )
    gateway = models.ForeignKey(
        Gateway, on_delete=models.PROTECT, null=True, blank=True, related_name="locks"
    )
    message = models.CharField(max_length=255)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Exactly one target; an end after the beginning."""

        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=exactly_one(), name="policies_lock_exactly_one_target"
            ),
            models.CheckConstraint(
                condition=Q(expires_at__isnull=True)
                | Q(expires_at__gt=F("created_at")),
                name="policies_lock_ends_after_it_begins",
            ),
        )

    def __str__(self) -> str:
        """Return what is locked."""
        return f"{self.kind} {self.target}"

    @property
    def kind(self) -> str:
        """Which of `TARGETS` it is on."""
        # A check constraint says that there is exactly one.
        return next(name for name in TARGETS if getattr(self, f"{name}_id") is not None)

    @property
    def target(self) -> Lockable:
        """What it is on."""
        found: Lockable = getattr(self, self.kind)
        return found

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events."""
        return Ref(id=f"lk_{self.pk}", label=str(self))
