"""The end of devices: with it their keys for ever, and their addresses for a while.

What many people lose at once is changed and recorded in a few statements, however many
devices that are: gateways wait for the commit.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.db import transaction

from audit.events import EventCode
from audit.services import event, record_all
from peers.keys import fingerprint
from peers.models import Device, DeviceKey, DeviceState, KeyState
from peers.names import plain_reason
from peers.services.leases import release_addresses
from peers.signals import peers_changed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from audit.actor import Actor
    from audit.models import AuditEvent
    from portal.accounts.models import User


@transaction.atomic
def revoke_device(
    *, device: Device, reason: str, actor: Actor, now: datetime
) -> Device:
    """Revoke a device with its key and addresses. Revoking again changes nothing."""
    revoke_devices(devices=[device], reason=reason, actor=actor, now=now)
    device.refresh_from_db(fields=("state", "revoked_at", "revoked_reason"))
    return device


@transaction.atomic
def revoke_devices(
    *, devices: Collection[Device], reason: str, actor: Actor, now: datetime
) -> list[Device]:
    """Revoke devices, told as one: all are locked before anybody is told of any.

    Returns those that were active.
    """
    found = Device.objects.filter(pk__in=[device.pk for device in devices])
    revoked = _revoke(found, reason=reason, actor=actor, now=now)
    if revoked:
        peers_changed.send(
            Device,
            user_ids=frozenset(device.owner_id for device in revoked),
            gateway_ids=frozenset(),
            revoked=tuple(revoked),
        )
    return revoked


@transaction.atomic
def revoke_devices_of(
    *, users: Collection[User], reason: str, actor: Actor, now: datetime
) -> list[Device]:
    """Revoke every active device of people and return them.

    The caller has disabled the people before, in this transaction: an enrolment
    that is under way then either sees it or has its device among these. It also tells
    the gateways: a person may have more to be cut off than these.
    """
    ids = frozenset(user.pk for user in users)
    found = Device.objects.filter(owner__in=ids)
    revoked = _revoke(found, reason=reason, actor=actor, now=now)
    if revoked:
        peers_changed.send(Device, user_ids=ids, gateway_ids=frozenset(), is_told=True)
    return revoked


def key_event(
    code: EventCode, key: DeviceKey, *, actor: Actor, now: datetime
) -> AuditEvent:
    """Return the event of what happened to a device's key."""
    return event(
        code,
        actor=actor,
        now=now,
        person=key.device.owner.ref,
        device=key.device.ref,
        details={"fingerprint": fingerprint(key.public_key)},
    )


def _revoke(
    found: QuerySet[Device], *, reason: str, actor: Actor, now: datetime
) -> list[Device]:
    """Revoke those that are active; of two revocations at once, one does."""
    active = found.filter(state=DeviceState.ACTIVE).select_related("owner")
    devices = [*active.select_for_update(of=("self",), no_key=True).order_by("pk")]
    ended: dict[str, Any] = {
        "state": DeviceState.REVOKED,
        "revoked_at": now,
        "revoked_reason": plain_reason(reason),
    }
    Device.objects.filter(pk__in=[device.pk for device in devices]).update(**ended)
    for device in devices:
        for name, value in ended.items():
            setattr(device, name, value)
    keys = _end_keys(devices, now)
    events: list[AuditEvent] = []
    for device in devices:
        events.append(_device_event(device, actor=actor, now=now))
        events += [
            key_event(EventCode.KEY_REVOKED, key, actor=actor, now=now)
            for key in keys[device.pk]
        ]
    record_all(events)
    release_addresses(devices=devices, now=now)
    return devices


def _device_event(device: Device, *, actor: Actor, now: datetime) -> AuditEvent:
    return event(
        EventCode.DEVICE_REVOKE,
        actor=actor,
        now=now,
        person=device.owner.ref,
        device=device.ref,
        reason=device.revoked_reason,
    )


def _end_keys(
    devices: Sequence[Device], now: datetime
) -> Mapping[int, Sequence[DeviceKey]]:
    """Revoke the living keys of devices; return them by device."""
    over = (KeyState.RETIRED, KeyState.REVOKED)
    by_id = {device.pk: device for device in devices}
    living = [
        *DeviceKey.objects.filter(device__in=by_id)
        .exclude(state__in=over)
        .order_by("pk")
    ]
    DeviceKey.objects.filter(pk__in=[key.pk for key in living]).update(
        state=KeyState.REVOKED, ended_at=now
    )
    found: defaultdict[int, list[DeviceKey]] = defaultdict(list)
    for key in living:
        # What its event is made of, without a query for each.
        key.device = by_id[key.device_id]
        found[key.device_id].append(key)
    return found
