"""Leasing tunnel addresses: in order, never twice."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, transaction
from django.db.models import Q

from peers import addresses
from peers.errors import PoolExhaustedError
from peers.models import AddressLease, AddressPool
from policies.compiler.types import network

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from peers.models import Device
    from policies.compiler.types import IPAddress

ATTEMPTS: Final = 20
WINDOW: Final = 64
FAMILIES: Final = (4, 6)


def lease_addresses(*, device: Device, now: datetime) -> list[AddressLease]:
    """Lease the device one address of every family that has a pool.

    Runs in the caller's transaction. Enrolments queue at the locked pools; where a
    database does not lock, or something else leases too, the unique constraint has
    the last word and the next address is tried.

    Raises:
        PoolExhaustedError: there is no pool, or a family has no free address.
    """
    pools = list(AddressPool.objects.select_for_update().order_by("pk"))
    leases = [
        _lease_from(family_pools, device, now)
        for family in FAMILIES
        if (family_pools := [p for p in pools if _family(p) == family])
    ]
    if not leases:
        raise PoolExhaustedError("no address pool is set up")
    return leases


def release_addresses(*, devices: Collection[Device], now: datetime) -> None:
    """Release what devices hold; the addresses rest before others have them."""
    ids = [device.pk for device in devices]
    rests: defaultdict[datetime | None, list[int]] = defaultdict(list)
    held = AddressLease.objects.filter(device__in=ids, released_at__isnull=True)
    for pk, text in held.values_list("pk", "address"):
        address = addresses.parse_address(text)
        rests[addresses.rests_until(address, released_at=now)].append(pk)
    # How long depends on the family alone, so these are two statements.
    for until, leases in rests.items():
        AddressLease.objects.filter(pk__in=leases).update(
            released_at=now, quarantined_until=until
        )


def _lease_from(
    pools: list[AddressPool], device: Device, now: datetime
) -> AddressLease:
    for pool in pools:
        for _ in range(ATTEMPTS):
            address = _next_address(pool, now)
            if address is None:
                break
            try:
                with transaction.atomic():
                    return AddressLease.objects.create(
                        pool=pool, device=device, address=str(address), leased_at=now
                    )
            except IntegrityError:
                continue
    raise PoolExhaustedError(f"no address is free in {', '.join(map(str, pools))}")


def _next_address(pool: AddressPool, now: datetime) -> IPAddress | None:
    prefix = network(pool.prefix)
    latest = AddressLease.objects.filter(pool=pool).order_by("-pk").first()
    after = addresses.parse_address(latest.address) if latest else None
    # Nearly always the very next one is free; only a pool that has gone round is
    # looked at as a whole.
    window = list(islice(addresses.candidates(prefix, after=after), WINDOW))
    blocked = _blocked(now, among=window)
    if len(blocked) < len(window):
        return next(address for address in window if address not in blocked)
    return addresses.next_address(prefix, after=after, blocked=_blocked(now))


def _blocked(
    now: datetime, *, among: Iterable[IPAddress] | None = None
) -> set[IPAddress]:
    held = AddressLease.objects.filter(
        Q(released_at__isnull=True)
        | Q(quarantined_until__isnull=True)
        | Q(quarantined_until__gt=now)
    )
    if among is not None:
        held = held.filter(address__in=[str(address) for address in among])
    return {
        addresses.parse_address(text) for text in held.values_list("address", flat=True)
    }


def _family(pool: AddressPool) -> int:
    return network(pool.prefix).version
