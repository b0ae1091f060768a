"""Reading, and the gates: nobody gets an object past them.

What a person may not see is not there (404); what they see but may not change is
refused (403). Owners see their devices, readers (auditor and above) see everything,
administrators change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, Q
from django.http import Http404

from peers.models import (
    AddressLease,
    Device,
    DeviceKey,
    DeviceState,
    Gateway,
    GatewayState,
    KeyState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from portal.accounts.models import User


def get_device_for(user: User, device_id: int) -> Device:
    """Return a device the person may see: their own, or any for a reader."""
    device = _devices().filter(pk=device_id).first()
    if device is None or not (device.owner_id == user.pk or user.is_reader):
        raise Http404
    return device


def get_own_device_for(user: User, device_id: int) -> Device:
    """Return a device of the person's own; a configuration is for its owner only."""
    device = get_device_for(user, device_id)
    if device.owner_id != user.pk:
        raise PermissionDenied
    return device


def get_device_to_change_for(user: User, device_id: int) -> Device:
    """Return a device the person may rename or revoke."""
    device = get_device_for(user, device_id)
    if not may_change(user, device):
        raise PermissionDenied
    return device


def may_change(user: User, device: Device) -> bool:
    """Return whether a person may rename or revoke a device they see."""
    return user.is_administrator or (user.may_change and device.owner_id == user.pk)


def list_devices_for(user: User) -> QuerySet[Device]:
    """Return the person's own devices, newest first."""
    return _devices().filter(owner=user)


def list_all_devices_for(user: User) -> QuerySet[Device]:
    """Return everybody's devices to a reader, newest first."""
    if not user.is_reader:
        raise PermissionDenied
    return _devices()


def get_gateway_for(user: User, gateway_id: int) -> Gateway:
    """Return a gateway to a reader."""
    gateway = Gateway.objects.filter(pk=gateway_id).first()
    if gateway is None or not user.is_reader:
        raise Http404
    return gateway


def get_gateway_to_change_for(user: User, gateway_id: int) -> Gateway:
    """Return a gateway to an administrator."""
    gateway = get_gateway_for(user, gateway_id)
    if not user.is_administrator:
        raise PermissionDenied
    return gateway


def list_gateways_for(user: User) -> QuerySet[Gateway]:
    """Return every gateway to a reader, by name."""
    if not user.is_reader:
        raise PermissionDenied
    return Gateway.objects.all()


def enrolled_gateways() -> QuerySet[Gateway]:
    """Return the gateways that enforce, by id; not a gate."""
    return Gateway.objects.filter(state=GatewayState.ENROLLED).order_by("pk")


def live_keys() -> QuerySet[DeviceKey]:
    """Return the active keys of live devices of live people; not a gate.

    Each has its device, its owner and, as `device.live_leases`, its addresses.
    """
    return (
        DeviceKey.objects.filter(
            state=KeyState.ACTIVE,
            device__state=DeviceState.ACTIVE,
            device__owner__is_active=True,
        )
        .select_related("device__owner")
        .prefetch_related(_live_leases("device__leases"))
        .order_by("device_id")
    )


def free_gateways(gateway_ids: Iterable[int]) -> frozenset[int]:
    """Return which of these are enrolled and not in quarantine; not a gate."""
    free = enrolled_gateways().filter(pk__in=gateway_ids, quarantined_at=None)
    return frozenset(free.values_list("pk", flat=True))


def holder_of(address: str, at: datetime) -> Device | None:
    """Return the device that held a tunnel address at a moment; not a gate.

    The moment of release belongs to nobody: a range ends before its end.
    """
    lease = (
        AddressLease.objects.filter(address=address, leased_at__lte=at)
        .filter(Q(released_at__isnull=True) | Q(released_at__gt=at))
        .select_related("device__owner")
        .order_by("-leased_at")
        .first()
    )
    return lease.device if lease else None


def key_held_at(device: Device, at: datetime) -> DeviceKey | None:
    """Return the key a device had at a moment; not a gate."""
    return (
        device.keys.filter(created_at__lte=at)
        .filter(Q(ended_at__isnull=True) | Q(ended_at__gt=at))
        .first()
    )


def live_addresses(device: Device) -> list[str]:
    """Return the addresses a device holds now, IPv4 before IPv6."""
    held = device.leases.filter(released_at__isnull=True)
    return sorted((lease.address for lease in held), key=lambda address: ":" in address)


def active_key(device: Device) -> DeviceKey | None:
    """Return the active key of a device, or None when it was revoked."""
    return device.keys.filter(state=KeyState.ACTIVE).first()


def _devices() -> QuerySet[Device]:
    return Device.objects.select_related("owner").prefetch_related(
        "keys", _live_leases("leases")
    )


def _live_leases(path: str) -> Prefetch[str, QuerySet[AddressLease], str]:
    return Prefetch(
        path,
        queryset=AddressLease.objects.filter(released_at__isnull=True).order_by("id"),
        to_attr="live_leases",
    )
