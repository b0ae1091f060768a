"""Reading locks, and their one gate: readers see all, administrators change them.

People are told of the locks that stop them, with their messages and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404

from peers.models import Device, Gateway
from peers.selectors import get_device_for, get_gateway_for
from policies.locked import live_locks, on_person
from policies.models import Application, Lock
from policies.selectors import get_application_for, live_grants_of
from portal.accounts.models import Group, User
from portal.accounts.selectors import get_user_for, list_groups_for

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from policies.models import Lockable

SHOWN = ("user", "device__owner", "group", "application", "gateway")


def list_locks_for(user: User) -> QuerySet[Lock]:
    """Return every lock to a reader, newest first."""
    if not user.is_reader:
        raise PermissionDenied
    return Lock.objects.select_related(*SHOWN)


def list_locks_in_state_for(user: User, state: str, *, now: datetime) -> QuerySet[Lock]:
    """Return the locks that are in force, or `ended`, or `all`, newest first."""
    rows = list_locks_for(user)
    live = live_locks(now).order_by().values("pk")
    match state:
        case "all":
            return rows
        case "ended":
            return rows.exclude(pk__in=live)
        case _:
            return rows.filter(pk__in=live)


def get_lock_to_change_for(user: User, lock_id: int) -> Lock:
    """Return a lock to an administrator."""
    lock = list_locks_for(user).filter(pk=lock_id).first() if user.is_reader else None
    if lock is None:
        raise Http404
    if not user.is_administrator:
        raise PermissionDenied
    return lock


def get_lockable_for(user: User, kind: str, target_id: int) -> Lockable:
    """Return what may be locked, to whom may see it; `kind` is one of `TARGETS`."""
    match kind:
        case "user":
            return get_user_for(user, target_id)
        case "device":
            return get_device_for(user, target_id)
        case "application":
            return get_application_for(user, target_id)
        case "gateway":
            return get_gateway_for(user, target_id)
    found = list_groups_for(user).filter(pk=target_id).first()
    if kind != "group" or found is None:
        raise Http404
    return found


def locks_on(target: Lockable, *, now: datetime) -> QuerySet[Lock]:
    """Return the locks that stop a target, itself or with whom it belongs to."""
    match target:
        case User():
            stops = on_person(target)
        case Device():
            stops = Q(device=target) | on_person(target.owner)
        case Group():
            stops = Q(group=target)
        case Application():
            stops = Q(application=target)
        case Gateway():
            stops = Q(gateway=target)
    return live_locks(now).filter(stops).select_related(*SHOWN)


def locks_told_to(user: User, *, now: datetime) -> QuerySet[Lock]:
    """Return the locks that stop a person, a device, or what they are granted."""
    granted = live_grants_of(user, now=now).order_by().values("application")
    serving = Gateway.objects.order_by().filter(applications__in=granted)
    return (
        live_locks(now)
        .filter(
            on_person(user)
            | Q(device__owner=user, device__state="active")
            | Q(application__in=granted)
            | Q(gateway__in=serving.values("pk"))
        )
        .select_related(*SHOWN)
    )
