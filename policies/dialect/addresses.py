"""Sets of addresses of both families, as sorted disjoint ranges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import Final

from policies.compiler.ranges import (
    FAMILIES,
    Family,
    Range,
    address_family,
    merged,
    network_family,
    network_range,
    without,
)
from policies.compiler.types import IPAddress, IPNetwork


@dataclass(frozen=True, slots=True)
class AddressSet:
    """Addresses of either family."""

    four: tuple[Range, ...] = ()
    six: tuple[Range, ...] = ()

    def of(self, family: Family) -> tuple[Range, ...]:
        """Return the ranges of one family."""
        return self.four if family == 4 else self.six  # noqa: PLR2004 - its name

    def __bool__(self) -> bool:
        """Return whether there is any address."""
        return bool(self.four or self.six)

    def __or__(self, other: AddressSet) -> AddressSet:
        """Return the addresses of either set."""
        return AddressSet(
            merged((*self.four, *other.four)), merged((*self.six, *other.six))
        )

    def __sub__(self, other: AddressSet) -> AddressSet:
        """Return the addresses that `other` does not have."""
        return AddressSet(
            *(
                tuple(
                    left for span in self.of(f) for left in without(span, other.of(f))
                )
                for f in FAMILIES
            )
        )

    def __and__(self, other: AddressSet) -> AddressSet:
        """Return the addresses of both sets."""
        return self - (self - other)

    def networks(self) -> tuple[IPNetwork, ...]:
        """Return the fewest prefixes with the same addresses, in order."""
        found: list[IPNetwork] = []
        for first, last in self.four:
            found += summarize_address_range(IPv4Address(first), IPv4Address(last))
        for first, last in self.six:
            found += summarize_address_range(IPv6Address(first), IPv6Address(last))
        return tuple(found)


EVERYTHING: Final = AddressSet(((0, 2**32 - 1),), ((0, 2**128 - 1),))


def of_networks(networks: Iterable[IPNetwork]) -> AddressSet:
    """Return the addresses of some prefixes."""
    found: dict[Family, list[Range]] = {4: [], 6: []}
    for network in networks:
        found[network_family(network)].append(network_range(network))
    return AddressSet(merged(found[4]), merged(found[6]))


def of_addresses(addresses: Iterable[IPAddress]) -> AddressSet:
    """Return the set of some addresses."""
    found: dict[Family, list[Range]] = {4: [], 6: []}
    for address in addresses:
        found[address_family(address)].append((int(address), int(address)))
    return AddressSet(merged(found[4]), merged(found[6]))


def union(sets: Iterable[AddressSet]) -> AddressSet:
    """Return the addresses of any of the sets."""
    listed = tuple(sets)
    return AddressSet(
        merged(span for found in listed for span in found.four),
        merged(span for found in listed for span in found.six),
    )
