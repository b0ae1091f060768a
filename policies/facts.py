"""The one bridge: rows → the compiler's facts. Only file that knows both worlds.

Eight queries however many devices there are. Users who are disabled and devices
that are revoked do not cross.
"""

from __future__ import annotations

from collections import defaultdict
from ipaddress import ip_address
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Q

from peers.models import (
    AddressLease,
    AddressPool,
    DeviceKey,
    DeviceState,
    Gateway,
    KeyState,
)
from policies.compiler import types
from policies.models import ApplicationDestination, Grant
from portal.accounts.models import Membership, User

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet


def gateway_facts(gateway: Gateway) -> types.Facts:
    """Return everything one gateway's snapshot is compiled from.

    Grants that have not begun, or whose time is over, are among them: judging time
    is the compiler's part.
    """
    grants = Grant.objects.filter(
        application__gateways=gateway, ended_at__isnull=True
    ).order_by("pk")
    return types.Facts(
        deployment=settings.PEERAGE_DEPLOYMENT,
        gateway_id=gateway.pk,
        listen_port=gateway.endpoint_port,
        pools=types.sorted_networks(
            types.network(prefix)
            for prefix in AddressPool.objects.values_list("prefix", flat=True)
        ),
        devices=_devices(_people(grants)),
        memberships=_memberships(grants),
        applications=_applications(gateway),
        grants=tuple(map(_grant, grants)),
        revoked_keys=tuple(
            DeviceKey.objects.filter(state=KeyState.REVOKED)
            .order_by("public_key")
            .values_list("public_key", flat=True)
        ),
    )


def destination_of(row: ApplicationDestination) -> types.Destination:
    """Return a stored destination as the compiler's value."""
    ports = None
    if row.port_first is not None and row.port_last is not None:
        ports = types.PortRange(first=row.port_first, last=row.port_last)
    return types.Destination(
        prefix=types.network(row.prefix),
        protocol=types.Protocol(row.protocol),
        ports=ports,
    )


def _people(grants: QuerySet[Grant]) -> QuerySet[User]:
    # Subqueries, not lists of ids: SQLite limits the parameters of a statement.
    return User.objects.filter(is_active=True).filter(
        Q(pk__in=grants.order_by().filter(user__isnull=False).values("user"))
        | Q(
            pk__in=Membership.objects.filter(
                group__in=grants.order_by().filter(group__isnull=False).values("group")
            ).values("user")
        )
    )


def _devices(people: QuerySet[User]) -> tuple[types.Device, ...]:
    keys = DeviceKey.objects.filter(
        state=KeyState.ACTIVE,
        device__state=DeviceState.ACTIVE,
        device__owner__in=people,
    )
    addresses: defaultdict[int, list[types.IPAddress]] = defaultdict(list)
    leases = AddressLease.objects.filter(
        released_at__isnull=True,
        device__state=DeviceState.ACTIVE,
        device__owner__in=people,
    )
    for device_id, address in leases.values_list("device_id", "address"):
        addresses[device_id].append(ip_address(address))
    return tuple(
        types.Device(
            id=device_id,
            user_id=owner_id,
            public_key=public_key,
            addresses=tuple(
                sorted(addresses[device_id], key=lambda a: (a.version, int(a)))
            ),
            expires_at=types.NEVER,
        )
        for device_id, owner_id, public_key in keys.order_by("device_id").values_list(
            "device_id", "device__owner_id", "public_key"
        )
        if addresses[device_id]
    )


def _memberships(grants: QuerySet[Grant]) -> tuple[tuple[int, int], ...]:
    groups = grants.order_by().filter(group__isnull=False).values("group")
    rows: Iterable[tuple[int, int]] = Membership.objects.filter(
        user__is_active=True, group__in=groups
    ).values_list("user_id", "group_id")
    return tuple(sorted(rows))


def _applications(gateway: Gateway) -> tuple[types.Application, ...]:
    destinations: defaultdict[int, list[types.Destination]] = defaultdict(list)
    for row in ApplicationDestination.objects.filter(application__gateways=gateway):
        destinations[row.application_id].append(destination_of(row))
    return tuple(
        types.Application(
            id=application_id,
            destinations=tuple(sorted(found, key=lambda d: d.sort_key)),
        )
        for application_id in gateway.applications.order_by("pk").values_list(
            "pk", flat=True
        )
        for found in (destinations[application_id],)
    )


def _grant(row: Grant) -> types.Grant:
    if row.user_id is not None:
        subject = types.Subject(kind=types.SubjectKind.USER, id=row.user_id)
    elif row.group_id is not None:
        subject = types.Subject(kind=types.SubjectKind.GROUP, id=row.group_id)
    else:
        msg = f"grant {row.pk} has no subject"
        raise AssertionError(msg)
    return types.Grant(
        id=row.pk,
        subject=subject,
        application_id=row.application_id,
        not_before=row.not_before,
        expires_at=row.expires_at or types.NEVER,
    )
