"""The company of `company` as rows, behind one gateway."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from peers.models import (
    AddressLease,
    AddressPool,
    Device,
    DeviceKey,
    Gateway,
    GatewayState,
    KeyState,
)
from policies.compiler import types
from policies.models import Application, ApplicationDestination, Grant
from portal.accounts.models import Group, GroupSource, Membership, User
from tests.policies.compiler.build import NOW

BATCH: Final = 2_000


@transaction.atomic
def store(given: types.Facts) -> Gateway:
    """Write facts down as rows with the same ids; return their gateway."""
    gateway = Gateway.objects.create(
        pk=given.gateway_id,
        name="gw1",
        endpoint_host="gw1.example.com",
        state=GatewayState.ENROLLED,
        created_at=NOW,
        enrolled_at=NOW,
    )
    _people(given)
    _devices(given)
    _applications(given, gateway)
    Grant.objects.bulk_create(map(_grant, given.grants), batch_size=BATCH)
    return gateway


def _people(given: types.Facts) -> None:
    User.objects.bulk_create(
        (
            User(
                pk=number,
                issuer="https://idp.example.com",
                subject=str(number),
                username=f"us_{number}",
                created_at=NOW,
            )
            for number in sorted({user for user, _ in given.memberships})
        ),
        batch_size=BATCH,
    )
    Group.objects.bulk_create(
        (
            Group(pk=number, source=GroupSource.LOCAL, name=str(number), created_at=NOW)
            for number in sorted({group for _, group in given.memberships})
        ),
        batch_size=BATCH,
    )
    Membership.objects.bulk_create(
        (
            Membership(user_id=user, group_id=group, since=NOW)
            for user, group in given.memberships
        ),
        batch_size=BATCH,
    )


def _devices(given: types.Facts) -> None:
    pools = {
        pool.version: AddressPool.objects.create(prefix=str(pool))
        for pool in given.pools
    }
    Device.objects.bulk_create(
        (
            Device(pk=d.id, owner_id=d.user_id, name=str(d.id), created_at=NOW)
            for d in given.devices
        ),
        batch_size=BATCH,
    )
    DeviceKey.objects.bulk_create(
        (
            DeviceKey(
                device_id=d.id,
                public_key=d.public_key,
                state=KeyState.ACTIVE,
                created_at=NOW,
            )
            for d in given.devices
        ),
        batch_size=BATCH,
    )
    AddressLease.objects.bulk_create(
        (
            AddressLease(
                pool=pools[address.version],
                device_id=d.id,
                address=str(address),
                leased_at=NOW,
            )
            for d in given.devices
            for address in d.addresses
        ),
        batch_size=BATCH,
    )


def _applications(given: types.Facts, gateway: Gateway) -> None:
    Application.objects.bulk_create(
        (
            Application(pk=a.id, name=f"ap_{a.id}", created_at=NOW)
            for a in given.applications
        ),
        batch_size=BATCH,
    )
    gateway.applications.set(Application.objects.all())
    ApplicationDestination.objects.bulk_create(
        (
            ApplicationDestination(
                application_id=application.id,
                prefix=str(destination.prefix),
                protocol=destination.protocol.value,
                port_first=destination.ports.first if destination.ports else None,
                port_last=destination.ports.last if destination.ports else None,
            )
            for application in given.applications
            for destination in application.destinations
        ),
        batch_size=BATCH,
    )


def _grant(grant: types.Grant) -> Grant:
    is_group = grant.subject.kind is types.SubjectKind.GROUP
    return Grant(
        pk=grant.id,
        group_id=grant.subject.id if is_group else None,
        user_id=None if is_group else grant.subject.id,
        application_id=grant.application_id,
        not_before=NOW,
        created_at=NOW,
    )
