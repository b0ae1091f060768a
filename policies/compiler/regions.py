"""Overlapping applications, cut into disjoint regions (DESIGN §7).

A region is a range of addresses by a range of services, labelled with every granted
application that covers it. The kernel can then find the one chain that lists all
grants for a packet's destination with a single lookup: interval maps refuse elements
that overlap, and a first match would hide the other application's grants.

Destinations by host name have no region of their own, because their addresses are not
known here. Where the bounds of any of them lie, `HOSTS` covers as if it were one more
application: there, and nowhere else, a packet is looked up by name first (ADR-0009).

Some destinations are nobody's to grant (loopback, link-local, multicast, reserved):
they are cut out here, so no policy can open them (attack E04).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias, assert_never

from policies.compiler.ranges import (
    Family,
    Range,
    merged,
    network_family,
    network_range,
    without,
)
from policies.compiler.sweep import Box, Cell, overlay, union
from policies.compiler.types import (
    ALL_PORTS,
    MAX_PORT,
    Application,
    Destination,
    Protocol,
    network,
)

Label: TypeAlias = tuple[int, ...]

HOSTS: Final = 0
"""Who covers the bounds of all host names; no application has this id."""

TCP: Final = 6
UDP: Final = 17
ICMP: Final = 1
ICMPV6: Final = 58

FORBIDDEN: Final[Mapping[Family, tuple[Range, ...]]] = {
    4: merged(
        network_range(network(prefix))
        for prefix in (
            "0.0.0.0/8",  # RFC 1122 §3.2.1.3: this network
            "127.0.0.0/8",  # RFC 1122 §3.2.1.3: loopback
            "169.254.0.0/16",  # RFC 3927: link-local, and cloud metadata
            "224.0.0.0/4",  # RFC 5771: multicast
            "240.0.0.0/4",  # RFC 1112 §4: reserved, and broadcast
        )
    ),
    6: merged(
        (
            *(
                network_range(network(prefix))
                for prefix in (
                    "::/127",  # RFC 4291 §2.5: unspecified and loopback
                    "fe80::/10",  # RFC 4291 §2.5.6: link-local
                    "ff00::/8",  # RFC 4291 §2.7: multicast
                )
            ),
            (0xFFFF << 32, (0xFFFF << 32) + 2**32 - 1),  # RFC 4291 §2.5.5.2
        )
    ),
}
"""Destinations that beat every grant."""

HOLES: Final[Mapping[Family, tuple[Range, ...]]] = {
    4: ((TCP, TCP), (UDP, UDP), (ICMPV6, ICMPV6)),
    6: ((ICMP, ICMP), (TCP, TCP), (UDP, UDP)),
}
"""Protocols that "any" does not cover without regard to ports."""


class Axis(Enum):
    """How services are told apart: by port, or by IP protocol alone."""

    PORT = "port"
    PROTOCOL = "protocol"


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """A box of destinations and the applications that cover all of it.

    `ports` is None for protocols without ports; `protocols` is then a range.
    """

    family: Family
    addresses: Range
    protocols: Range
    ports: Range | None
    applications: Label


_Service: TypeAlias = tuple[Axis, Range]

_PORTS: Final = MAX_PORT + 1
"""Services with ports are numbered protocol * 65536 + port."""


def regions(applications: Iterable[Application]) -> tuple[Region, ...]:
    """Return the disjoint regions of all destinations, in address order."""
    layers: defaultdict[tuple[Family, Axis], dict[int, list[Box]]] = defaultdict(dict)
    for application in applications:
        for destination in application.destinations:
            family = network_family(destination.prefix)
            for axis, services in destination_services(destination):
                owner = HOSTS if destination.host else application.id
                boxes = layers[family, axis].setdefault(owner, [])
                for addresses in destination_ranges(destination):
                    boxes.append((addresses, services))
    return tuple(
        sorted(
            (
                _region(family, axis, addresses, cell)
                for (family, axis), owned in layers.items()
                for addresses, cell in overlay(
                    {owner: union(boxes) for owner, boxes in owned.items()}
                )
            ),
            key=lambda r: (r.family, r.addresses, r.protocols, r.ports or (0, 0)),
        )
    )


def destination_ranges(destination: Destination) -> tuple[Range, ...]:
    """Return the addresses of a destination that may be granted at all."""
    family = network_family(destination.prefix)
    return without(network_range(destination.prefix), FORBIDDEN[family])


def destination_services(destination: Destination) -> tuple[_Service, ...]:
    """Return what a destination covers on either axis.

    Port 0 is never covered. Nor is protocol 0, which no packet carries last, nor the
    ICMP of the other family, which the kernel's conntrack calls invalid.
    """
    ports = destination.ports or ALL_PORTS
    tcp = (Axis.PORT, (TCP * _PORTS + ports.first, TCP * _PORTS + ports.last))
    udp = (Axis.PORT, (UDP * _PORTS + ports.first, UDP * _PORTS + ports.last))
    match destination.protocol:
        case Protocol.TCP:
            return (tcp,)
        case Protocol.UDP:
            return (udp,)
        case Protocol.ICMP:
            return ((Axis.PROTOCOL, (ICMP, ICMP)),)
        case Protocol.ICMPV6:
            return ((Axis.PROTOCOL, (ICMPV6, ICMPV6)),)
        case Protocol.ANY:
            holes = HOLES[network_family(destination.prefix)]
            portless = without((1, 255), holes)
            return (tcp, udp, *((Axis.PROTOCOL, other) for other in portless))
        case never:
            assert_never(never)


def _region(family: Family, axis: Axis, addresses: Range, cell: Cell) -> Region:
    """Return a box and who covers it as a region."""
    first, last, owners = cell
    label = tuple(sorted(owners))
    if axis is Axis.PROTOCOL:
        return Region(family, addresses, (first, last), None, label)
    protocol = first // _PORTS
    ports = (first % _PORTS, last % _PORTS)
    return Region(family, addresses, (protocol, protocol), ports, label)
