"""Which tunnel address is next. Pure.

Rules:

* The network address, the first address (the gateway's own) and, for IPv4, the
  broadcast address are never leased.
* Addresses are leased in order, each after the one leased last, so that the next
  is found without looking at all of them. IPv4 starts again at the beginning when
  the end is reached; IPv6 does not, because it is never reused (DESIGN §2).
* An IPv4 address rests for 90 days after its release; an IPv6 address for ever.
  Who held an address at a moment stays answerable, and late packets of an old
  flow never reach a new holder.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import chain
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from policies.compiler.types import IPAddress, IPNetwork

IPV4: Final = 4
QUARANTINE: Final = timedelta(days=90)
RESERVED_AT_START: Final = 2


def next_address(
    prefix: IPNetwork, *, after: IPAddress | None, blocked: Container[IPAddress]
) -> IPAddress | None:
    """Return the next address that is not blocked, or None when none is left.

    `after` is the address leased last from this prefix; `blocked` are those held
    or resting.
    """
    for address in candidates(prefix, after=after):
        if address not in blocked:
            return address
    return None


def candidates(prefix: IPNetwork, *, after: IPAddress | None) -> Iterator[IPAddress]:
    """Yield the addresses of a prefix in the order in which they are leased."""
    first, last = _bounds(prefix)
    make = IPv4Address if prefix.version == IPV4 else IPv6Address
    start = first
    if after is not None and after.version == prefix.version:
        start = int(after) + 1 if first <= int(after) <= last else first
    ahead = range(start, last + 1)
    behind = range(first, start) if prefix.version == IPV4 else range(0)
    for number in chain(ahead, behind):
        yield make(number)


def rests_until(address: IPAddress, *, released_at: datetime) -> datetime | None:
    """Return when a released address may be leased again; None is never."""
    return released_at + QUARANTINE if address.version == IPV4 else None


def parse_address(text: str) -> IPAddress:
    """Return the address written in `text`, as the database gave it."""
    return ip_address(text)


def _bounds(prefix: IPNetwork) -> tuple[int, int]:
    first = int(prefix.network_address) + RESERVED_AT_START
    last = int(prefix.broadcast_address) - (1 if prefix.version == IPV4 else 0)
    return first, last
