"""What pages read across apps, in a number of queries that the rows do not change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from django.db.models import Count, Max, Min, Q

from audit.models import Connection
from peers.keys import fingerprint
from peers.models import AddressLease, Device, DeviceState
from policies.models import Grant, LabelGrant
from policies.selectors import people_needing_approval

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from policies.models import Application, Label
    from portal.accounts.models import User

Given = TypeVar("Given", Grant, LabelGrant)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    """A device as a list shows it."""

    device: Device
    addresses: tuple[str, ...]
    fingerprint: str
    is_waiting: bool
    first_seen: datetime | None
    last_seen: datetime | None


def device_rows(devices: Iterable[Device], now: datetime) -> list[DeviceRow]:
    """Return the rows of devices that came through peers' gates, in their order.

    One waits for approval that is not approved and whose owner has a grant that
    demands it; where nothing demands it there is nothing to wait for.
    """
    devices = list(devices)
    owners = {device.owner_id for device in devices if device.is_active}
    waiting = people_needing_approval(owners, now=now)
    seen = {
        row["device_id"]: (row["first"], row["last"])
        for row in Connection.objects.filter(
            device_id__in=[device.ref.id for device in devices]
        )
        .order_by()
        .values("device_id")
        .annotate(first=Min("started_at"), last=Max("started_at"))
    }
    return [
        _device_row(
            device,
            seen.get(device.ref.id),
            is_waiting=device.is_active
            and not device.is_approved
            and device.owner_id in waiting,
        )
        for device in devices
    ]


def search_devices(
    devices: QuerySet[Device], *, words: str, state: str
) -> QuerySet[Device]:
    """Return the devices whose name, owner or address contains `words`."""
    if state:
        devices = devices.filter(state=state)
    if words:
        held = AddressLease.objects.filter(
            address__startswith=words, released_at__isnull=True
        )
        devices = devices.filter(
            Q(name__icontains=words)
            | Q(owner__name__icontains=words)
            | Q(owner__email__icontains=words)
            | Q(pk__in=held.values("device_id"))
        )
    return devices


def search_users(users: QuerySet[User], *, words: str, state: str) -> QuerySet[User]:
    """Return the people whose name, e-mail or group contains `words`."""
    if state:
        users = users.filter(is_active=state == "active")
    if words:
        users = users.filter(
            Q(name__icontains=words)
            | Q(email__icontains=words)
            | Q(
                pk__in=users.model.groups.through.objects.filter(
                    group__name__icontains=words
                ).values("user_id")
            )
        )
    return users


def with_device_counts(users: QuerySet[User]) -> QuerySet[User]:
    """Read along how many live devices each person has."""
    live = Count("devices", filter=Q(devices__state=DeviceState.ACTIVE))
    # Django drops a model's own order where it groups.
    return users.annotate(live_devices=live).order_by("name", "pk")


def with_grant_counts(
    applications: QuerySet[Application], now: datetime
) -> QuerySet[Application]:
    """Read along how many live grants each application has."""
    endless = Q(grants__expires_at__isnull=True) | Q(grants__expires_at__gt=now)
    live = Count("grants", filter=Q(grants__ended_at__isnull=True) & endless)
    return applications.annotate(live_grants=live).order_by("name", "pk")


def with_label_counts(labels: QuerySet[Label], now: datetime) -> QuerySet[Label]:
    """Read along how many applications bear each label, and its live grants."""
    endless = Q(grants__expires_at__isnull=True) | Q(grants__expires_at__gt=now)
    live = Count(
        "grants", filter=Q(grants__ended_at__isnull=True) & endless, distinct=True
    )
    borne = Count("applications", distinct=True)
    return labels.annotate(borne=borne, live_grants=live).order_by("name", "pk")


def live_grants(grants: QuerySet[Given], now: datetime) -> QuerySet[Given]:
    """Return the grants that are in force or begin later, of applications or labels."""
    endless = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    return grants.filter(endless, ended_at__isnull=True)


def connections_of(person_id: str, count: int = 10) -> QuerySet[Connection]:
    """Return a person's newest connections."""
    return Connection.objects.filter(person_id=person_id)[:count]


def _device_row(
    device: Device, seen: tuple[datetime, datetime] | None, *, is_waiting: bool
) -> DeviceRow:
    keys = device.keys.all()
    # peers.selectors reads the live leases along under this name.
    leases: list[AddressLease] = device.live_leases  # type: ignore[attr-defined]
    return DeviceRow(
        device=device,
        addresses=tuple(lease.address for lease in leases),
        fingerprint=fingerprint(keys[0].public_key) if keys else "",
        is_waiting=is_waiting,
        first_seen=seen[0] if seen else None,
        last_seen=seen[1] if seen else None,
    )
