"""What is locked at a moment, as the tables say. Not a gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Q

from policies.models import Application, Lock
from portal.accounts.models import Membership, User

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet


def live_locks(at: datetime) -> QuerySet[Lock]:
    """Return the locks in force, newest first."""
    endless = Q(expires_at__isnull=True) | Q(expires_at__gt=at)
    return Lock.objects.filter(endless, lifted_at__isnull=True)


def is_locked(user: User, *, at: datetime) -> bool:
    """Return whether a person is locked, by name or with a group."""
    return live_locks(at).filter(on_person(user)).exists()


def on_person(user: User) -> Q:
    """Return the condition of locks that stop all of a person's devices."""
    groups = Membership.objects.filter(user=user).values("group")
    return Q(user=user) | Q(group__in=groups)


def locked_people(at: datetime) -> QuerySet[User]:
    """Return everybody who is locked, by name or with a group."""
    locks = live_locks(at).order_by()
    members = Membership.objects.filter(
        group__in=locks.filter(group__isnull=False).values("group")
    )
    return User.objects.order_by().filter(
        Q(pk__in=locks.filter(user__isnull=False).values("user"))
        | Q(pk__in=members.values("user"))
    )


def locked_applications(at: datetime) -> QuerySet[Application]:
    """Return the applications that are locked."""
    locks = live_locks(at).order_by().filter(application__isnull=False)
    return Application.objects.order_by().filter(pk__in=locks.values("application"))
