"""Approved devices: vouched for by an administrator, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from audit.actor import SYSTEM, Actor
from audit.events import EventCode, Outcome
from audit.models import AuditEvent
from peers import services
from peers.errors import DeviceRevokedError
from peers.models import Device
from peers.signals import peers_changed
from portal.accounts.models import User
from tests.peers.makers import NOW, Machine

pytestmark = pytest.mark.usefixtures("pools")
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def device(alice: User) -> Device:
    """Alice's machine."""
    return Machine().enroll(alice)


@pytest.fixture
def news(device: Device) -> Iterator[list[frozenset[int]]]:
    """Whom `peers_changed` spoke of, once the device was there."""
    heard: list[frozenset[int]] = []

    def hear(*, user_ids: frozenset[int], **_kwargs: object) -> None:
        assert transaction.get_connection().in_atomic_block
        heard.append(user_ids)

    peers_changed.connect(hear)
    yield heard
    peers_changed.disconnect(hear)


def events(code: EventCode) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(code=code).order_by("id"))


def test_a_new_device_is_not_approved(device: Device) -> None:
    assert not device.is_approved


def test_an_approval_is_kept_told_and_recorded_once(
    device: Device, actor: Actor, news: list[frozenset[int]]
) -> None:
    services.approve_device(device=device, actor=actor, now=NOW)
    services.approve_device(device=device, actor=SYSTEM, now=LATER)
    device.refresh_from_db()
    assert (device.is_approved, device.approved_at) == (True, NOW)
    assert device.approved_by == actor.label
    (event,) = events(EventCode.DEVICE_APPROVE)
    assert (event.device_id, event.actor_label) == (device.ref.id, actor.label)
    assert news == [frozenset({device.owner_id})]


def test_a_withdrawal_ends_it_and_is_recorded_once(
    device: Device, actor: Actor, news: list[frozenset[int]]
) -> None:
    services.approve_device(device=device, actor=actor, now=NOW)
    for _ in range(2):
        services.withdraw_approval(
            device=device, reason="sold\n", actor=actor, now=LATER
        )
    device.refresh_from_db()
    assert (device.is_approved, device.approved_by) == (False, "")
    (event,) = events(EventCode.DEVICE_APPROVAL_WITHDRAW)
    assert (event.reason, event.device_id) == ("sold", device.ref.id)
    assert len(news) == 2


def test_a_revoked_device_is_not_approved_and_the_refusal_is_recorded(
    device: Device, actor: Actor, news: list[frozenset[int]]
) -> None:
    services.revoke_device(device=device, reason="lost", actor=actor, now=NOW)
    with pytest.raises(DeviceRevokedError):
        services.approve_device(device=device, actor=actor, now=LATER)
    assert not device.is_approved
    (event,) = events(EventCode.DEVICE_APPROVE)
    assert event.outcome == Outcome.REFUSED
    assert len(news) == 1


def test_nobody_is_no_approver(device: Device) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Device.objects.filter(pk=device.pk).update(approved_at=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        Device.objects.filter(pk=device.pk).update(approved_by="somebody")
