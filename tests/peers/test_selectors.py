"""The gates: what one may not see is not there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404

from audit.actor import SYSTEM
from peers import selectors, services
from peers.models import Device, DeviceKey, Gateway
from portal.accounts.models import User
from tests.peers.makers import NOW, Machine, make_gateway

Gate = Callable[[User, int], object]
pytestmark = pytest.mark.usefixtures("pools")


@pytest.fixture
def laptop(alice: User) -> Device:
    """Return alice's laptop."""
    return Machine().enroll(alice)


def answer(gate: Gate, user: User, number: int) -> int:
    """Return the HTTP status a gate stands for."""
    try:
        gate(user, number)
    except Http404:
        return 404
    except PermissionDenied:
        return 403
    return 200


@pytest.mark.parametrize(
    ("gate", "who", "status"),
    [
        (selectors.get_device_for, "alice", 200),
        (selectors.get_device_for, "bob", 404),
        (selectors.get_device_for, "mallory", 404),
        (selectors.get_device_for, "carol", 200),
        (selectors.get_device_for, "dave", 200),
        (selectors.get_own_device_for, "alice", 200),
        (selectors.get_own_device_for, "mallory", 404),
        (selectors.get_own_device_for, "carol", 403),
        (selectors.get_own_device_for, "dave", 403),
        (selectors.get_device_to_change_for, "alice", 200),
        (selectors.get_device_to_change_for, "mallory", 404),
        (selectors.get_device_to_change_for, "carol", 403),
        (selectors.get_device_to_change_for, "dave", 200),
    ],
)
def test_gates_of_devices(
    laptop: Device, request: pytest.FixtureRequest, gate: Gate, who: str, status: int
) -> None:
    assert answer(gate, request.getfixturevalue(who), laptop.pk) == status


@pytest.mark.parametrize(
    ("gate", "who", "status"),
    [
        (selectors.get_gateway_for, "alice", 404),
        (selectors.get_gateway_for, "carol", 200),
        (selectors.get_gateway_for, "dave", 200),
        (selectors.get_gateway_to_change_for, "alice", 404),
        (selectors.get_gateway_to_change_for, "carol", 403),
        (selectors.get_gateway_to_change_for, "dave", 200),
    ],
)
def test_gates_of_gateways(
    gw1: Gateway, request: pytest.FixtureRequest, gate: Gate, who: str, status: int
) -> None:
    assert answer(gate, request.getfixturevalue(who), gw1.pk) == status


def test_what_does_not_exist_looks_like_what_is_hidden(dave: User) -> None:
    assert answer(selectors.get_device_for, dave, 999) == 404
    assert answer(selectors.get_gateway_for, dave, 999) == 404


def test_a_disabled_reader_reads_nothing(laptop: Device, carol: User) -> None:
    carol.is_active = False
    assert answer(selectors.get_device_for, carol, laptop.pk) == 404


def test_people_list_their_own_devices(laptop: Device, alice: User, bob: User) -> None:
    assert list(selectors.list_devices_for(alice)) == [laptop]
    assert list(selectors.list_devices_for(bob)) == []


def test_only_readers_list_everything(
    laptop: Device, gw1: Gateway, alice: User, carol: User
) -> None:
    assert list(selectors.list_all_devices_for(carol)) == [laptop]
    assert list(selectors.list_gateways_for(carol)) == [gw1]
    with pytest.raises(PermissionDenied):
        selectors.list_all_devices_for(alice)
    with pytest.raises(PermissionDenied):
        selectors.list_gateways_for(alice)


def test_only_enrolled_gateways_enforce(gw1: Gateway) -> None:
    make_gateway("waiting")
    assert list(selectors.enrolled_gateways()) == [gw1]


def test_live_keys_are_those_of_live_devices_of_live_people(
    laptop: Device, alice: User, bob: User
) -> None:
    other = Machine().enroll(bob)
    assert [key.device for key in selectors.live_keys()] == [laptop, other]
    services.revoke_device(device=other, reason="", actor=SYSTEM, now=NOW)
    assert [key.device for key in selectors.live_keys()] == [laptop]
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert not selectors.live_keys().exists()


@pytest.mark.parametrize("address", ["100.64.0.2", "fd5e:e4a6:e000::2"])
def test_an_address_has_its_holder_from_lease_to_release(
    laptop: Device, address: str
) -> None:
    end = NOW + timedelta(days=1)
    services.revoke_device(device=laptop, reason="", actor=SYSTEM, now=end)
    second = timedelta(seconds=1)
    moments = (NOW - second, NOW, end - second, end)
    holders = [selectors.holder_of(address, moment) for moment in moments]
    assert holders == [None, laptop, laptop, None]


def test_an_address_that_nobody_held_has_no_holder(laptop: Device) -> None:
    assert laptop.is_active
    assert selectors.holder_of("100.64.0.99", NOW) is None


def test_the_holder_is_that_of_the_moment_not_of_today(
    laptop: Device, bob: User
) -> None:
    end, later = NOW + timedelta(days=1), NOW + timedelta(days=91)
    services.revoke_device(device=laptop, reason="", actor=SYSTEM, now=end)
    other = Machine().enroll(bob, now=later)
    other.leases.filter(address__startswith="100.").update(address="100.64.0.2")
    assert selectors.holder_of("100.64.0.2", NOW) == laptop
    assert selectors.holder_of("100.64.0.2", end) is None
    assert selectors.holder_of("100.64.0.2", later) == other


def test_a_device_had_its_key_from_registration_to_revocation(laptop: Device) -> None:
    end = NOW + timedelta(days=1)
    services.revoke_device(device=laptop, reason="", actor=SYSTEM, now=end)
    key = DeviceKey.objects.get()
    assert selectors.key_held_at(laptop, end - timedelta(seconds=1)) == key
    assert selectors.key_held_at(laptop, end) is None


def test_addresses_and_key_of_a_device_end_with_it(laptop: Device) -> None:
    assert selectors.live_addresses(laptop) == ["100.64.0.2", "fd5e:e4a6:e000::2"]
    assert selectors.active_key(laptop) is not None
    services.revoke_device(device=laptop, reason="", actor=SYSTEM, now=NOW)
    assert selectors.live_addresses(laptop) == []
    assert selectors.active_key(laptop) is None
