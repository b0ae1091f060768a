"""Approved devices: an administrator vouches for a machine, and may cease to.

A device works without it; only grants that demand an approved device do not. Its key
may rotate and its name change: it is the same machine. Asking twice changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from audit.events import EventCode, Outcome
from audit.services import record
from peers.errors import DeviceRevokedError
from peers.models import Device, DeviceState
from peers.names import plain_reason
from peers.signals import peers_changed

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor


def approve_device(*, device: Device, actor: Actor, now: datetime) -> Device:
    """Approve a device; one that is approved already keeps its approval.

    Raises:
        DeviceRevokedError: the device was revoked.
    """
    with transaction.atomic():
        live = Device.objects.filter(pk=device.pk, state=DeviceState.ACTIVE)
        changed = live.filter(approved_at__isnull=True).update(
            approved_at=now, approved_by=actor.label or actor.kind.value
        )
        device.refresh_from_db()
        if changed:
            _tell(EventCode.DEVICE_APPROVE, device, "", actor, now)
    if not device.is_active:
        msg = f"{device.name} was revoked; what is revoked is not approved"
        record(
            EventCode.DEVICE_APPROVE,
            outcome=Outcome.REFUSED,
            actor=actor,
            now=now,
            person=device.owner.ref,
            device=device.ref,
            reason=msg,
        )
        raise DeviceRevokedError(msg)
    return device


@transaction.atomic
def withdraw_approval(
    *, device: Device, reason: str, actor: Actor, now: datetime
) -> Device:
    """Approve a device no longer; what demands approval ends with it at once."""
    said = plain_reason(reason)
    changed = Device.objects.filter(pk=device.pk, approved_at__isnull=False).update(
        approved_at=None, approved_by=""
    )
    device.refresh_from_db()
    if changed:
        _tell(EventCode.DEVICE_APPROVAL_WITHDRAW, device, said, actor, now)
    return device


def _tell(
    code: EventCode, device: Device, reason: str, actor: Actor, now: datetime
) -> None:
    """Record what happened, and tell the layers above."""
    record(
        code,
        actor=actor,
        now=now,
        person=device.owner.ref,
        device=device.ref,
        reason=reason,
    )
    peers_changed.send(
        Device, user_ids=frozenset({device.owner_id}), gateway_ids=frozenset()
    )
