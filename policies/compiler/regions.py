"""Overlapping applications, cut into disjoint regions (DESIGN §7).

A region is a range of addresses by a range of services, labelled with every granted
application that covers it. The kernel can then find the one chain that lists all
grants for a packet's destination with a single lookup: interval maps refuse elements
that overlap, and a first match would hide the other application's grants.

Some destinations are nobody's to grant (loopback, link-local, multicast, reserved):
they are cut out here, so no policy can open them (attack E04).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from policies.compiler.ranges import (
    Family,
    Range,
    merged,
    network_family,
    network_range,
    without,
)
from policies.compiler.types import (
    MAX_PORT,
    Application,
    Destination,
    Protocol,
    network,
)

Label: TypeAlias = tuple[int, ...]

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
_Box: TypeAlias = tuple[Range, Range, int]
_Cell: TypeAlias = tuple[int, int, Label]

_PORTS: Final = MAX_PORT + 1
"""Services with ports are numbered protocol * 65536 + port."""


def regions(applications: Iterable[Application]) -> tuple[Region, ...]:
    """Return the disjoint regions of all destinations, in address order."""
    boxes: defaultdict[tuple[Family, Axis], list[_Box]] = defaultdict(list)
    for application in applications:
        for destination in application.destinations:
            family = network_family(destination.prefix)
            for axis, service in destination_services(destination):
                for addresses in destination_ranges(destination):
                    boxes[family, axis].append((addresses, service, application.id))
    return tuple(
        sorted(
            (
                _region(family, axis, addresses, cell)
                for (family, axis), found in boxes.items()
                for addresses, cell in _sweep(found)
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
    ports = destination.ports
    first, last = (ports.first, ports.last) if ports else (1, MAX_PORT)
    tcp = (Axis.PORT, (TCP * _PORTS + first, TCP * _PORTS + last))
    udp = (Axis.PORT, (UDP * _PORTS + first, UDP * _PORTS + last))
    portless = without((1, 255), HOLES[network_family(destination.prefix)])
    covered = {
        Protocol.TCP: (tcp,),
        Protocol.UDP: (udp,),
        Protocol.ICMP: ((Axis.PROTOCOL, (ICMP, ICMP)),),
        Protocol.ICMPV6: ((Axis.PROTOCOL, (ICMPV6, ICMPV6)),),
        Protocol.ANY: (tcp, udp, *((Axis.PROTOCOL, other) for other in portless)),
    }
    return covered[destination.protocol]


def _sweep(boxes: Iterable[_Box]) -> Iterable[tuple[Range, _Cell]]:
    """Cut boxes into disjoint ones: one pass over the addresses.

    Between two neighbouring edges the same boxes are active, so the cut of the
    services is constant there. A cell that goes on unchanged past an edge is kept
    open, which merges neighbours and keeps the output small.
    """
    edges: defaultdict[int, list[tuple[Range, int, int]]] = defaultdict(list)
    for (first, last), service, application in boxes:
        edges[first].append((service, application, 1))
        edges[last + 1].append((service, application, -1))
    active: Counter[tuple[Range, int]] = Counter()
    opened: dict[_Cell, int] = {}
    for edge in sorted(edges):
        for service, application, step in edges[edge]:
            active[service, application] += step
        active = +active
        cells = set(_cells(active))
        for cell in opened.keys() - cells:
            yield (opened.pop(cell), edge - 1), cell
        for cell in cells - opened.keys():
            opened[cell] = edge


def _cells(active: Iterable[tuple[Range, int]]) -> Iterable[_Cell]:
    """Cut the active services into disjoint cells, equal neighbours merged."""
    edges: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for (first, last), application in active:
        edges[first].append((application, 1))
        edges[last + 1].append((application, -1))
    covering: Counter[int] = Counter()
    start, label = 0, Label()
    for edge in sorted(edges):
        for application, step in edges[edge]:
            covering[application] += step
        covering = +covering
        following = tuple(sorted(covering))
        if following != label:
            if label:
                yield (start, edge - 1, label)
            start, label = edge, following


def _region(family: Family, axis: Axis, addresses: Range, cell: _Cell) -> Region:
    """Return a swept box as a region."""
    first, last, label = cell
    if axis is Axis.PROTOCOL:
        return Region(family, addresses, (first, last), None, label)
    protocol = first // _PORTS
    ports = (first % _PORTS, last % _PORTS)
    return Region(family, addresses, (protocol, protocol), ports, label)
