"""Who held an address at a moment, or which addresses of a prefix were held by whom.

Three answers: somebody *held* it; nobody did and it was in *quarantine*, which names
who held it last; or neither, and then nothing here says who sent from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from django.db.models import Q

from audit.search.lookups import Within
from peers.keys import fingerprint
from peers.models import AddressLease, DeviceKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from peers.models import Device

LISTED: Final = 200
"""How many addresses of a prefix are listed at most."""


class Holding(StrEnum):
    """What a lease was at a moment."""

    HELD = "held"
    QUARANTINED = "in quarantine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One lease at one moment; the key is that of the moment, when it was held."""

    lease: AddressLease
    holding: Holding
    key_fingerprint: str

    @property
    def device(self) -> Device:
        """The device that holds the address, or held it last."""
        return self.lease.device


def holders_at(address: str, at: datetime) -> tuple[tuple[Holder, ...], bool]:
    """Return the leases of an address or prefix at a moment, and whether all; no gate.

    The moment of release belongs to nobody: a range ends before its end. An IPv6
    address is in quarantine for ever (DESIGN §2).
    """
    here = Within("address", address) if "/" in address else Q(address=address)
    held = Q(released_at__isnull=True) | Q(released_at__gt=at)
    kept = Q(quarantined_until__isnull=True) | Q(quarantined_until__gt=at)
    leases = list(
        AddressLease.objects.filter(here, held | kept, leased_at__lte=at)
        .select_related("device__owner")
        .order_by("address", "-leased_at")[: LISTED + 1]
    )
    keys = _keys_at({lease.device_id for lease in leases}, at)
    found = tuple(_holder(lease, at, keys) for lease in leases[:LISTED])
    return found, len(leases) <= LISTED


def _holder(lease: AddressLease, at: datetime, keys: Mapping[int, str]) -> Holder:
    is_held = lease.released_at is None or lease.released_at > at
    return Holder(
        lease=lease,
        holding=Holding.HELD if is_held else Holding.QUARANTINED,
        key_fingerprint=keys.get(lease.device_id, "") if is_held else "",
    )


def _keys_at(devices: Iterable[int], at: datetime) -> Mapping[int, str]:
    keys = DeviceKey.objects.filter(device__in=devices, created_at__lte=at).filter(
        Q(ended_at__isnull=True) | Q(ended_at__gt=at)
    )
    return {key.device_id: fingerprint(key.public_key) for key in keys}
