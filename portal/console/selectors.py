"""What pages read across apps, in a number of queries that the rows do not change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, Max, Min, OuterRef, Prefetch, Q, Subquery
from django.http import Http404

from audit.models import Connection
from peers.keys import fingerprint
from peers.models import AddressLease, Device, DeviceState, Gateway
from policies.models import (
    Acknowledgement,
    Application,
    Grant,
    Revocation,
    RevocationTarget,
    Snapshot,
)
from portal.accounts.models import User

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    """A device as a list shows it."""

    device: Device
    addresses: tuple[str, ...]
    fingerprint: str
    first_seen: datetime | None
    last_seen: datetime | None


def device_rows(devices: Iterable[Device]) -> list[DeviceRow]:
    """Return the rows of devices that came through peers' gates, in their order."""
    devices = list(devices)
    seen = {
        row["device_id"]: row
        for row in Connection.objects.filter(
            device_id__in=[device.ref.id for device in devices]
        )
        .order_by()
        .values("device_id")
        .annotate(first=Min("started_at"), last=Max("started_at"))
    }
    return [_device_row(device, seen.get(device.ref.id, {})) for device in devices]


def _device_row(device: Device, seen: dict[str, datetime]) -> DeviceRow:
    keys = device.keys.all()
    # peers.selectors reads the live leases along under this name.
    leases: list[AddressLease] = device.live_leases  # type: ignore[attr-defined]
    return DeviceRow(
        device=device,
        addresses=tuple(lease.address for lease in leases),
        fingerprint=fingerprint(keys[0].public_key) if keys else "",
        first_seen=seen.get("first"),
        last_seen=seen.get("last"),
    )


def search_devices(
    devices: QuerySet[Device], *, words: str, state: str
) -> QuerySet[Device]:
    """Return the devices whose name, owner or address contains `words`."""
    if state:
        devices = devices.filter(state=state)
    if words:
        devices = devices.filter(
            Q(name__icontains=words)
            | Q(owner__name__icontains=words)
            | Q(owner__email__icontains=words)
            | Q(pk__in=_devices_at(words))
        )
    return devices


def _devices_at(words: str) -> QuerySet[AddressLease, dict[str, int]]:
    return AddressLease.objects.filter(
        address__startswith=words, released_at__isnull=True
    ).values("device_id")


def search_users(*, words: str, state: str) -> QuerySet[User]:
    """Return people with the number of their live devices."""
    users = User.objects.annotate(
        live_devices=Count("devices", filter=Q(devices__state=DeviceState.ACTIVE))
    ).prefetch_related("groups")
    if state:
        users = users.filter(is_active=state == "active")
    if words:
        users = users.filter(
            Q(name__icontains=words)
            | Q(email__icontains=words)
            | Q(groups__name__icontains=words)
        ).distinct()
    return users


def get_grant_for(viewer: User, grant_id: int) -> Grant:
    """Return a grant for readers; nobody else looks at single grants."""
    grant = (
        Grant.objects.select_related("user", "group", "application")
        .filter(pk=grant_id)
        .first()
    )
    if grant is None or not viewer.is_reader:
        raise Http404
    return grant


def get_application_for(viewer: User, application_id: int) -> Application:
    """Return an application for readers."""
    application = Application.objects.filter(pk=application_id).first()
    if application is None or not viewer.is_reader:
        raise Http404
    return application


def live_grants(now: datetime) -> QuerySet[Grant]:
    """Return the grants that are in force or begin later."""
    return Grant.objects.select_related("user", "group", "application").filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=now), ended_at__isnull=True
    )


def grants_of(user: User, now: datetime) -> QuerySet[Grant]:
    """Return the live grants of a person, by name or by group."""
    return live_grants(now).filter(Q(user=user) | Q(group__users=user)).distinct()


def gateways_with_generations() -> QuerySet[Gateway]:
    """Read along the published, acknowledged and enforced generation."""
    acks = Acknowledgement.objects.filter(
        gateway=OuterRef("pk"), epoch=OuterRef("epoch")
    )
    return Gateway.objects.annotate(
        published=Subquery(
            Snapshot.objects.filter(gateway=OuterRef("pk"), epoch=OuterRef("epoch"))
            .order_by("-generation")
            .values("generation")[:1]
        ),
        acknowledged=Subquery(acks.order_by("-generation").values("generation")[:1]),
        in_force=Subquery(
            acks.filter(in_force=True).order_by("-generation").values("generation")[:1]
        ),
    )


def connections_of(person_id: str, count: int = 10) -> QuerySet[Connection]:
    """Return a person's newest connections."""
    return Connection.objects.filter(person_id=person_id)[:count]


def get_revocation(revocation_id: int) -> Revocation:
    """Return a revocation with its targets."""
    targets = RevocationTarget.objects.select_related("gateway").order_by(
        "gateway__name"
    )
    revocation = (
        Revocation.objects.select_related("user")
        .prefetch_related(Prefetch("targets", targets), "devices")
        .filter(pk=revocation_id)
        .first()
    )
    if revocation is None:
        raise Http404
    return revocation
