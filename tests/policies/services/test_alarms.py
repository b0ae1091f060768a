"""What policies know raises alarms: late revocations, devices that come back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.alarms.models import Alarm, DeviceActivity
from peers.models import Device, Gateway, GatewayState
from policies import services
from policies.models import Revocation, RevocationTarget, TunnelSighting
from portal.accounts.models import User
from tests.conftest import NOW
from tests.peers.makers import Machine

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.fixture
def target(alice: User, gw1: Gateway) -> RevocationTarget:
    """gw1 has not confirmed the revocation of alice."""
    revocation = Revocation.objects.create(
        user=alice, requested_at=NOW, reason="x", actor_label="Dave"
    )
    return RevocationTarget.objects.create(revocation=revocation, gateway=gw1)


def test_a_revocation_that_is_not_confirmed_is_an_alarm_once(
    target: RevocationTarget,
) -> None:
    assert services.watch_revocations(now=NOW + 29 * SECOND) == []
    (alarm,) = services.watch_revocations(now=NOW + 30 * SECOND)
    assert services.watch_revocations(now=NOW + 60 * SECOND) == []
    alarm.refresh_from_db()
    assert (alarm.count, alarm.gateway_id) == (1, target.gateway.ref.id)
    assert alarm.person_label == "Alice"
    assert alarm.evidence.get().reference == str(target.revocation_id)


def test_a_revocation_that_was_confirmed_is_none(target: RevocationTarget) -> None:
    RevocationTarget.objects.update(enforced_at=NOW + SECOND)
    assert services.watch_revocations(now=NOW + DAY) == []


def test_a_retired_gateway_owes_no_confirmation(target: RevocationTarget) -> None:
    Gateway.objects.update(state=GatewayState.RETIRED)
    assert services.watch_revocations(now=NOW + DAY) == []


def test_every_gateway_that_is_late_has_an_alarm(
    target: RevocationTarget, gw1: Gateway
) -> None:
    other = Gateway.objects.create(
        name="gw2",
        endpoint_host="gw2.example.test",
        endpoint_port=51820,
        created_at=NOW,
    )
    RevocationTarget.objects.create(revocation=target.revocation, gateway=other)
    assert len(services.watch_revocations(now=NOW + DAY)) == 2


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """A device that was seen a long time ago."""
    device = Machine().enroll(alice, now=NOW - 90 * DAY)
    DeviceActivity.objects.create(device_id=device.ref.id, last_at=NOW - 60 * DAY)
    services.watch_sightings(now=NOW)
    return device


def sight(device: Device, gateway: Gateway) -> None:
    TunnelSighting.objects.create(device=device, gateway=gateway, seen_at=NOW)


def test_a_handshake_after_a_long_silence_is_an_alarm(
    laptop: Device, gw1: Gateway
) -> None:
    for _ in range(2):
        sight(laptop, gw1)
        services.watch_sightings(now=NOW)
    alarm = Alarm.objects.get()
    assert (alarm.rule, alarm.device_id, alarm.count) == (
        "dormant-wakes",
        laptop.ref.id,
        1,
    )
    assert alarm.person_label == "Alice"
