"""Forget the owner of devices: what they called them, and where they were seen from.

Keys, addresses and their times stay: a key is bound for ever to one device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import F, Value
from django.db.models.fields import CharField
from django.db.models.functions import Cast, Concat

from peers.models import Device, DeviceState, EnrolmentChallenge

if TYPE_CHECKING:
    from portal.accounts.models import User


def live_devices(user: User) -> list[str]:
    """Return the ids of the devices of a person that are not revoked."""
    live = Device.objects.filter(owner=user).exclude(state=DeviceState.REVOKED)
    return [device.ref.id for device in live.order_by("pk")]


def device_names(user: User) -> tuple[list[str], list[str]]:
    """Return the names of a person's devices: theirs alone, and those of others too."""
    mine = set(Device.objects.filter(owner=user).values_list("name", flat=True))
    others = Device.objects.exclude(owner=user)
    shared = {name for name in mine if others.filter(name__iexact=name).exists()}
    return sorted(mine - shared), sorted(shared)


def forget_devices(user: User) -> int:
    """Name a person's devices by their number; return how many there are."""
    EnrolmentChallenge.objects.filter(user=user).delete()
    number = Concat(Value("dv_"), Cast(F("pk"), CharField()))
    return Device.objects.filter(owner=user).update(name=number, platform="")
