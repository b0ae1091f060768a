"""Destinations by host name: which addresses count for whom, and until when. Pure.

Rules this module keeps:

* A name stands for addresses only inside a prefix. The two together are a `Pin`; an
  address that a resolver gives outside every prefix, or one that is nobody's to
  grant, stands for nothing.
* An address that several pins share is held by all of them together, until the first
  of them ends: each opens its own ports to its own grants and no more.
* What has ended counts for nothing, whoever still remembers it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from policies.compiler.ranges import (
    FAMILIES,
    Family,
    address_family,
    range_text,
)
from policies.compiler.regions import FORBIDDEN, ICMP, ICMPV6
from policies.compiler.tables import Chain, Element, NamedSet, named_set
from policies.compiler.types import (
    Application,
    Destination,
    IPAddress,
    IPNetwork,
    Protocol,
    Resolved,
    Snapshot,
    SnapshotGrant,
)

ADDRESS_TYPES: Final[Mapping[Family, str]] = {4: "ipv4_addr", 6: "ipv6_addr"}

_NUMBERS: Final = {Protocol.ICMP: ICMP, Protocol.ICMPV6: ICMPV6}

_DIGITS: Final = 32
"""Half of SHA-256 in hexadecimal: names stay readable, and none meets another."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A host name inside a prefix."""

    host: str
    prefix: IPNetwork

    @property
    def chain(self) -> str:
        """The chain of what it opens. No name enters a ruleset, only its digest."""
        return f"name_{_digest(f'{self.host} {self.prefix}')}"


@dataclass(frozen=True, slots=True)
class Opening:
    """A destination by name, and whose it is."""

    application_id: int
    destination: Destination


Grants: TypeAlias = Mapping[int, Sequence[SnapshotGrant]]
"""The grants on each application."""

Rule: TypeAlias = Callable[[SnapshotGrant, int, str], str]
"""How a grant on an application is written, behind the match of a service."""

Pins: TypeAlias = Mapping[Pin, tuple[Opening, ...]]


@dataclass(frozen=True, slots=True)
class Placed:
    """The pins that hold an address, by chain, and when the first of them ends."""

    pins: tuple[Pin, ...]
    expires_at: datetime

    @property
    def chain(self) -> str:
        """The chain of an address: that of its one pin, or one that they share."""
        if len(self.pins) == 1:
            return self.pins[0].chain
        return f"{SHARED}{_digest(' '.join(pin.chain for pin in self.pins))}"


SHARED: Final = "names_"
"""How the chains of shared addresses begin. They come and go with answers."""

NAME_MAPS: Final = frozenset({"name4", "name6"})
"""The maps whose elements come and go with answers."""


def pins(applications: Iterable[Application]) -> Pins:
    """Return what each pin opens, in order."""
    found: defaultdict[Pin, list[Opening]] = defaultdict(list)
    for application in sorted(applications, key=lambda a: a.id):
        for place in sorted(set(application.destinations), key=lambda d: d.sort_key):
            if place.host:
                pin = Pin(place.host, place.prefix)
                found[pin].append(Opening(application.id, place))
    return {pin: tuple(found[pin]) for pin in sorted(found, key=lambda p: p.chain)}


def placed(of: Iterable[Pin], resolved: Resolved) -> Mapping[IPAddress, Placed]:
    """Return the pins that hold each resolved address."""
    holders: defaultdict[IPAddress, list[Pin]] = defaultdict(list)
    ends: dict[IPAddress, datetime] = {}
    for pin in sorted(of, key=lambda p: p.chain):
        for address, end in resolved.get(pin.host, {}).items():
            if address in pin.prefix and is_grantable(address):
                holders[address].append(pin)
                ends[address] = min(end, ends.get(address, end))
    return {a: Placed(tuple(held), ends[a]) for a, held in holders.items()}


def bounds(snapshot: Snapshot) -> Mapping[str, tuple[IPNetwork, ...]]:
    """Return the host names a gateway has to resolve, and inside which prefixes."""
    found: defaultdict[str, set[IPNetwork]] = defaultdict(set)
    for pin in pins(snapshot.applications):
        found[pin.host].add(pin.prefix)
    return {
        host: tuple(sorted(found[host], key=lambda p: (p.version, p)))
        for host in sorted(found)
    }


def is_grantable(address: IPAddress) -> bool:
    """Return whether anybody may be granted an address at all (attack E04)."""
    holes = FORBIDDEN[address_family(address)]
    return not any(first <= int(address) <= last for first, last in holes)


def resolves(
    resolved: Resolved, host: str, address: IPAddress, *, now: datetime
) -> bool:
    """Return whether a name stands for an address at `now`."""
    end = resolved.get(host, {}).get(address)
    return end is not None and now < end


def name_maps(named: Pins, held: Mapping[IPAddress, Placed]) -> Iterable[NamedSet]:
    """Return the maps from resolved address to chain; none where no name is."""
    if not named:
        return
    for family in FAMILIES:
        yield named_set(
            f"name{family}",
            ADDRESS_TYPES[family],
            "timeout",
            data_type="verdict",
            elements=(
                Element(str(address), f"jump {found.chain}", found.expires_at)
                for address, found in held.items()
                if address.version == family
            ),
        )


def shared_chains(
    named: Pins,
    held: Mapping[IPAddress, Placed],
    grants_of: Grants,
    *,
    rule: Rule,
) -> Iterable[Chain]:
    """Return the chains of addresses that several pins have, each set of them once."""
    shared = {found.chain: found.pins for found in held.values()}
    for name, of in shared.items():
        if len(of) > 1:
            openings = (opening for pin in of for opening in named[pin])
            yield _chain(name, openings, grants_of, rule=rule)


def name_chains(named: Pins, grants_of: Grants, *, rule: Rule) -> Iterable[Chain]:
    """Return the chain of each pin, whether its name stands for anything or not."""
    for pin, openings in named.items():
        yield _chain(pin.chain, openings, grants_of, rule=rule)


def _chain(
    name: str, openings: Iterable[Opening], grants_of: Grants, *, rule: Rule
) -> Chain:
    """Return what pins open, lowest grant first. Its end returns to the prefixes."""
    found = {
        (grant.id, opening.application_id, _service(opening)): grant
        for opening in openings
        for grant in grants_of[opening.application_id]
    }
    return Chain(
        name=name,
        hook="",
        rules=tuple(
            rule(found[key], application, service)
            for key in sorted(found)
            for _, application, service in (key,)
        ),
    )


def _service(opening: Opening) -> str:
    """Return the match of a destination's protocol and ports, if it asks for any.

    What "any" leaves out has no region, and so never comes here.
    """
    place = opening.destination
    if place.protocol is Protocol.ANY:
        return ""
    if place.ports is None:
        return f"meta l4proto {_NUMBERS[place.protocol]} "
    return (
        f"{place.protocol} dport {range_text((place.ports.first, place.ports.last))} "
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
