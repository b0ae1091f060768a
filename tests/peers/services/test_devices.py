"""Devices: a key nobody ever offered before, an end that is final."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from time import sleep

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers import services
from peers.errors import (
    DeviceLimitError,
    DeviceRevokedError,
    InvalidKeyError,
    InvalidNameError,
    KeySeenError,
    OwnerInactiveError,
    PoolExhaustedError,
    PossessionError,
)
from peers.keys import LOW_ORDER
from peers.models import AddressLease, AddressPool, Device, DeviceKey, Gateway, KeyState
from peers.services.devices import ENROLMENTS_A_DAY
from peers.signals import peers_changed
from portal.accounts.models import User
from tests.peers.makers import NOW, Machine, codes, make_pools

pytestmark = pytest.mark.usefixtures("pools")


def text(number: int) -> str:
    """Return 32 little-endian bytes as base64."""
    return base64.b64encode(number.to_bytes(32, "little")).decode()


def twin(key: str) -> str:
    """Return the same point with bit 255 set."""
    return text(int.from_bytes(base64.b64decode(key), "little") | 1 << 255)


def assert_nothing_but(event: str) -> None:
    """Nobody holds anything; one event says what was refused."""
    assert codes() == [event]
    held = (Device, DeviceKey, AddressLease)
    assert not any(model._default_manager.exists() for model in held)


def test_enrolment_gives_a_key_and_an_address_of_each_family(alice: User) -> None:
    machine = Machine()
    device = machine.enroll(alice, name=" Alice's laptop ")
    assert (device.name, device.platform) == ("Alice's laptop", "linux")
    key = device.keys.get()
    assert (key.public_key, key.state) == (machine.public_key, KeyState.ACTIVE)
    addresses = [lease.address for lease in device.leases.all()]
    assert addresses == ["100.64.0.2", "fd5e:e4a6:e000::2"]


def test_enrolment_is_recorded_under_the_person(alice: User) -> None:
    device = Machine().enroll(alice)
    assert codes() == ["DV004I", "KY001I"]
    for event in AuditEvent.objects.all():
        assert event.person_id == alice.ref.id
        assert event.device_id == device.ref.id


def test_enrolment_tells_the_layers_above(alice: User) -> None:
    heard: list[frozenset[int]] = []

    def hear(user_ids: frozenset[int], **_: object) -> None:
        heard.append(user_ids)

    peers_changed.connect(hear)
    try:
        device = Machine().enroll(alice)
        services.revoke_device(device=device, reason="", actor=SYSTEM, now=NOW)
    finally:
        peers_changed.disconnect(hear)
    assert heard == [frozenset({alice.pk})] * 2


def test_no_private_key_is_kept(alice: User) -> None:
    Machine().enroll(alice)
    assert not alice.enrolmentchallenge_set.exists()


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("nonsense", id="not base64"),
        pytest.param(Machine().public_key[:-1], id="no padding"),
        pytest.param(Machine().public_key + "\n", id="line feed"),
        pytest.param(twin(Machine().public_key), id="bit 255 twin"),
        *(pytest.param(text(n), id=f"low order {n % 1000}") for n in sorted(LOW_ORDER)),
    ],
)
def test_a_bad_key_is_refused_with_one_event(alice: User, key: str) -> None:
    with pytest.raises(InvalidKeyError):
        Machine().enroll(alice, public_key=key)
    assert_nothing_but("DV001W")


@pytest.mark.parametrize("name", ["", "x\nPostUp = y", "a\u202eb", "x" * 65])
def test_a_bad_name_is_refused_with_one_event(alice: User, name: str) -> None:
    with pytest.raises(InvalidNameError):
        Machine().enroll(alice, name=name)
    assert_nothing_but("DV001W")


def test_a_bad_platform_is_refused_with_one_event(alice: User) -> None:
    with pytest.raises(InvalidNameError):
        Machine().enroll(alice, platform="lin\nux")
    assert_nothing_but("DV001W")


def test_a_wrong_proof_is_refused_with_one_event(alice: User) -> None:
    with pytest.raises(PossessionError):
        Machine().enroll(alice, public_key=Machine().public_key)
    assert_nothing_but("DV001W")


@pytest.fixture
def machine(alice: User) -> Machine:
    """Return a machine that alice has enrolled; others offer its key too."""
    machine = Machine()
    machine.enroll(alice)
    return machine


@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("is_revoked", [False, True], ids=["active", "revoked"])
def test_a_key_seen_before_is_refused_whoever_offers_it(
    machine: Machine, request: pytest.FixtureRequest, who: str, *, is_revoked: bool
) -> None:
    holder = Device.objects.get()
    if is_revoked:
        services.revoke_device(device=holder, reason="lost", actor=SYSTEM, now=NOW)
    person, before = request.getfixturevalue(who), codes()
    with pytest.raises(KeySeenError):
        machine.enroll(person, name="another")
    assert codes() == [*before, "DV005W"]
    event = AuditEvent.objects.latest("id")
    assert (event.person_id, event.target_id) == (person.ref.id, holder.ref.id)
    assert (Device.objects.count(), AddressLease.objects.count()) == (1, 2)


def test_the_refusal_of_a_seen_key_does_not_name_its_holder(
    machine: Machine, bob: User
) -> None:
    with pytest.raises(KeySeenError) as told:
        machine.enroll(bob)
    assert str(told.value) == "this key has been used before; make a new one"


def test_the_key_of_a_gateway_is_refused(alice: User, gw1: Gateway) -> None:
    machine = Machine()
    Gateway.objects.filter(pk=gw1.pk).update(public_key=machine.public_key)
    with pytest.raises(KeySeenError):
        machine.enroll(alice)
    assert_nothing_but("DV005W")
    assert AuditEvent.objects.get().target_id == gw1.ref.id


def test_the_limit_counts_active_devices(alice: User, settings: Settings) -> None:
    settings.PEERAGE_DEVICE_LIMIT = 1
    first = Machine().enroll(alice)
    with pytest.raises(DeviceLimitError, match="1 device"):
        Machine().enroll(alice, name="second")
    assert codes()[-1] == "DV006W"
    services.revoke_device(device=first, reason="", actor=SYSTEM, now=NOW)
    Machine().enroll(alice, name="second")
    assert Device.objects.count() == 2


def test_a_name_is_taken_by_an_active_device_of_the_same_person(
    alice: User, bob: User
) -> None:
    first = Machine().enroll(alice)
    Machine().enroll(bob)
    with pytest.raises(InvalidNameError, match="has this name"):
        Machine().enroll(alice)
    assert codes()[-1] == "DV001W"
    services.revoke_device(device=first, reason="", actor=SYSTEM, now=NOW)
    Machine().enroll(alice)


def test_a_disabled_person_enrols_nothing(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    with pytest.raises(OwnerInactiveError):
        Machine().enroll(alice)
    assert_nothing_but("DV001W")


def test_a_full_pool_refuses_and_keeps_nothing(alice: User) -> None:
    AddressPool.objects.all().delete()
    make_pools("10.0.0.0/30", "fd00::/64")
    Machine().enroll(alice)
    with pytest.raises(PoolExhaustedError, match=r"10\.0\.0\.0/30"):
        Machine().enroll(alice, name="second")
    assert codes()[-1] == "DV001W"
    assert (Device.objects.count(), AddressLease.objects.count()) == (1, 2)


def test_revoking_ends_device_key_and_addresses(alice: User) -> None:
    device = Machine().enroll(alice)
    later = NOW + timedelta(hours=1)
    services.revoke_device(device=device, reason="lost\n", actor=SYSTEM, now=later)
    device.refresh_from_db()
    assert (device.is_active, device.revoked_at) == (False, later)
    assert device.revoked_reason == "lost"
    key = device.keys.get()
    assert (key.state, key.ended_at) == (KeyState.REVOKED, later)
    assert {lease.released_at for lease in device.leases.all()} == {later}
    assert codes()[2:] == ["DV012I", "KY012I"]


def test_a_released_ipv4_address_rests_and_an_ipv6_address_does_for_ever(
    alice: User,
) -> None:
    device = Machine().enroll(alice)
    services.revoke_device(device=device, reason="", actor=SYSTEM, now=NOW)
    rests = {lease.address: lease.quarantined_until for lease in device.leases.all()}
    assert rests == {
        "100.64.0.2": NOW + timedelta(days=90),
        "fd5e:e4a6:e000::2": None,
    }


def test_revoking_twice_changes_nothing(alice: User) -> None:
    device = Machine().enroll(alice)
    services.revoke_device(device=device, reason="one", actor=SYSTEM, now=NOW)
    before = codes()
    later = NOW + timedelta(days=1)
    services.revoke_device(device=device, reason="two", actor=SYSTEM, now=later)
    assert (codes(), device.revoked_reason) == (before, "one")


def test_revoking_a_person_ends_all_of_theirs_and_nobody_elses(
    alice: User, bob: User
) -> None:
    mine = [Machine().enroll(alice, name=name) for name in ("laptop", "phone")]
    other = Machine().enroll(bob)
    old = services.revoke_device(device=mine[0], reason="", actor=SYSTEM, now=NOW)
    revoked = services.revoke_devices_of(
        users=[alice], reason="left", actor=SYSTEM, now=NOW
    )
    assert revoked == [mine[1]]
    assert old not in revoked
    other.refresh_from_db()
    assert other.is_active
    assert other.keys.get().state == KeyState.ACTIVE


def test_revoking_a_person_without_devices_changes_nothing(alice: User) -> None:
    assert (
        services.revoke_devices_of(users=[alice], reason="", actor=SYSTEM, now=NOW)
        == []
    )
    assert codes() == []


@pytest.mark.django_db(transaction=True)
def test_an_enrolment_under_way_does_not_outlive_the_person(
    alice: User,
    pools: None,
) -> None:
    disabled = Event()

    def disable() -> None:
        with transaction.atomic():
            User.objects.filter(pk=alice.pk).update(is_active=False)
            disabled.set()
            sleep(0.2)
            services.revoke_devices_of(users=[alice], reason="", actor=SYSTEM, now=NOW)
        connection.close()

    with ThreadPoolExecutor() as threads:
        done = threads.submit(disable)
        assert disabled.wait(5)
        with pytest.raises(OwnerInactiveError):
            Machine().enroll(alice)
        done.result()
    assert not Device.objects.exists()


def test_renaming_keeps_the_old_name_in_the_log(alice: User) -> None:
    device = Machine().enroll(alice)
    services.rename_device(device=device, name="desk", actor=SYSTEM, now=NOW)
    device.refresh_from_db()
    assert device.name == "desk"
    event = AuditEvent.objects.latest("id")
    assert (str(event), event.details) == ("DV009I", {"name_before": "laptop"})


@pytest.mark.parametrize("name", ["phone", "a\nb"], ids=["taken", "malformed"])
def test_a_bad_new_name_is_refused_with_one_event(alice: User, name: str) -> None:
    device = Machine().enroll(alice)
    Machine().enroll(alice, name="phone")
    with pytest.raises(InvalidNameError):
        services.rename_device(device=device, name=name, actor=SYSTEM, now=NOW)
    device.refresh_from_db()
    assert (device.name, codes()[4:]) == ("laptop", ["DV009W"])


def test_a_revoked_device_has_no_new_name_and_no_configuration(alice: User) -> None:
    device = Machine().enroll(alice)
    services.revoke_device(device=device, reason="", actor=SYSTEM, now=NOW)
    with pytest.raises(DeviceRevokedError):
        services.rename_device(device=device, name="x", actor=SYSTEM, now=NOW)
    with pytest.raises(DeviceRevokedError):
        services.record_config_issued(device=device, actor=SYSTEM, now=NOW)


def test_issuing_a_configuration_is_recorded(alice: User) -> None:
    device = Machine().enroll(alice)
    services.record_config_issued(device=device, actor=SYSTEM, now=NOW)
    assert codes()[-1] == "DV007I"


def test_enrolling_in_a_circle_ends_before_the_addresses_do(
    alice: User, settings: Settings
) -> None:
    settings.PEERAGE_DEVICE_LIMIT = 1
    for _ in range(ENROLMENTS_A_DAY):
        device = Machine().enroll(alice)
        services.revoke_device(device=device, reason="", actor=SYSTEM, now=NOW)
    with pytest.raises(DeviceLimitError, match="tomorrow"):
        Machine().enroll(alice)
    assert codes()[-1] == "DV006W"
    Machine().enroll(alice, now=NOW + timedelta(days=1))


def test_device_revoked_meanwhile_keeps_its_name(alice: User) -> None:
    stale = Machine().enroll(alice)
    device = Device.objects.get()
    services.revoke_device(device=device, reason="", actor=SYSTEM, now=NOW)
    with pytest.raises(DeviceRevokedError):
        services.rename_device(device=stale, name="new", actor=SYSTEM, now=NOW)
    assert Device.objects.get().name == "laptop"
