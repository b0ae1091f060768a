"""Leases: in order, never twice, also when many enrol at once."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from ipaddress import ip_address

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from audit.actor import SYSTEM
from peers import services
from peers.errors import DeviceLimitError, KeySeenError, PoolExhaustedError
from peers.models import AddressLease, AddressPool, Device
from peers.services import leases
from peers.services.leases import lease_addresses
from policies.compiler.types import IPAddress
from portal.accounts.models import User
from tests.conftest import MakeUser
from tests.peers.makers import NOW, Machine, make_pools


def make_device(owner: User, number: int = 0) -> Device:
    """Return a device without any key or address."""
    return Device.objects.create(owner=owner, name=f"device {number}", created_at=NOW)


def leased(owner: User, count: int, *, start: int = 0) -> list[str]:
    """Lease for that many new devices; return what they got."""
    return [
        lease.address
        for number in range(start, start + count)
        for lease in lease_addresses(device=make_device(owner, number), now=NOW)
    ]


def release(address: str, *, days_ago: int) -> None:
    """Revoke the holder of an address so many days ago."""
    device = AddressLease.objects.get(address=address, released_at=None).device
    moment = NOW - timedelta(days=days_ago)
    services.revoke_device(device=device, reason="", actor=SYSTEM, now=moment)


def test_addresses_are_leased_in_order(alice: User) -> None:
    make_pools("10.0.0.0/29")
    assert leased(alice, 3) == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]


def test_without_a_pool_nothing_is_leased(alice: User) -> None:
    with pytest.raises(PoolExhaustedError, match="no address pool"):
        leased(alice, 1)


def test_a_second_pool_serves_when_the_first_is_full(alice: User) -> None:
    make_pools("10.0.0.0/30", "10.0.1.0/30")
    assert leased(alice, 2) == ["10.0.0.2", "10.0.1.2"]


def test_a_released_address_is_not_leased_while_it_rests(alice: User) -> None:
    make_pools("10.0.0.0/29")
    leased(alice, 5)
    release("10.0.0.3", days_ago=89)
    with pytest.raises(PoolExhaustedError):
        leased(alice, 1, start=5)


def test_a_rested_address_is_leased_again_when_the_pool_has_gone_round(
    alice: User,
) -> None:
    make_pools("10.0.0.0/29")
    leased(alice, 5)
    release("10.0.0.3", days_ago=90)
    assert leased(alice, 1, start=5) == ["10.0.0.3"]


def test_an_ipv6_address_is_never_leased_again(alice: User) -> None:
    make_pools("fd00::/126")
    leased(alice, 2)
    release("fd00::2", days_ago=9999)
    with pytest.raises(PoolExhaustedError):
        leased(alice, 1, start=2)


def test_an_address_held_from_another_pool_is_passed_over(alice: User) -> None:
    make_pools("10.0.0.0/29", "10.0.0.0/24")
    device = make_device(alice, 99)
    AddressLease.objects.create(
        pool=AddressPool.objects.get(prefix="10.0.0.0/24"),
        device=device,
        address="10.0.0.2",
        leased_at=NOW,
    )
    assert leased(alice, 1) == ["10.0.0.3"]


def test_a_long_held_run_is_passed_over(alice: User) -> None:
    make_pools("10.0.0.0/24")
    pool, device = AddressPool.objects.get(), make_device(alice, 99)
    held = [ip_address("10.0.0.2") + n for n in (*range(1, 100), 0)]
    for address in held:
        AddressLease.objects.create(
            pool=pool, device=device, address=str(address), leased_at=NOW
        )
    assert leased(alice, 1) == ["10.0.0.102"]


def test_leasing_costs_the_same_however_many_are_leased(alice: User) -> None:
    make_pools("10.0.0.0/16")
    pool, holder = AddressPool.objects.get(), make_device(alice, 99999)
    AddressLease.objects.bulk_create(
        AddressLease(pool=pool, device=holder, address=str(address), leased_at=NOW)
        for address in (ip_address("10.0.0.2") + n for n in range(20_000))
    )
    device = make_device(alice)
    with (
        transaction.atomic(),
        CaptureQueriesContext(
            connection,
        ) as queries,
    ):
        (lease,) = lease_addresses(device=device, now=NOW)
    assert lease.address == str(ip_address("10.0.0.2") + 20_000)
    assert len(queries) <= 6


def test_the_unique_constraint_has_the_last_word(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pools("10.0.0.0/29", "10.0.0.0/24")
    AddressLease.objects.create(
        pool=AddressPool.objects.get(prefix="10.0.0.0/24"),
        device=make_device(alice, 99),
        address="10.0.0.2",
        leased_at=NOW,
    )
    read = leases._blocked  # noqa: SLF001 -- what a reader without a lock may miss
    is_late = iter([True])

    def blocked(
        now: datetime, *, among: Iterable[IPAddress] | None = None
    ) -> set[IPAddress]:
        return set() if next(is_late, False) else read(now, among=among)

    monkeypatch.setattr(leases, "_blocked", blocked)
    assert leased(alice, 1) == ["10.0.0.3"]


@pytest.mark.django_db(transaction=True)
def test_parallel_enrolments_never_share_an_address(make_user: MakeUser) -> None:
    make_pools("10.0.0.0/24", "fd00::/64")
    people = [make_user(f"person-{number}") for number in range(4)]

    def enroll(person: User) -> None:
        try:
            for number in range(4):
                Machine().enroll(person, name=f"device {number}")
        finally:
            connection.close()

    with ThreadPoolExecutor(len(people)) as threads:
        list(threads.map(enroll, people))
    held = list(AddressLease.objects.values_list("address", flat=True))
    assert (len(held), len(set(held))) == (32, 32)


@pytest.mark.django_db(transaction=True)
def test_parallel_enrolments_of_one_key_succeed_once(make_user: MakeUser) -> None:
    make_pools("10.0.0.0/24")
    people = [make_user(f"person-{number}") for number in range(4)]
    machine = Machine()

    def enroll(person: User) -> bool:
        try:
            machine.enroll(person)
        except KeySeenError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(len(people)) as threads:
        assert sorted(threads.map(enroll, people)) == [False, False, False, True]
    assert (Device.objects.count(), AddressLease.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_parallel_enrolments_keep_the_device_limit(
    make_user: MakeUser, settings: Settings
) -> None:
    settings.PEERAGE_DEVICE_LIMIT = 2
    make_pools("10.0.0.0/24")
    alice = make_user("alice")

    def enroll(number: int) -> bool:
        try:
            Machine().enroll(alice, name=f"device {number}")
        except DeviceLimitError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(enroll, range(4))) == 2
    assert Device.objects.count() == 2
