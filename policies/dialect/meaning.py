"""The meaning of resolved rules: which packets pass, whoever lets them through.

A canonical form, so that two policies that allow the same packets compare equal, in
whatever order, overlap or spelling they say so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias, TypeVar

from policies.compiler.ranges import Family, Range, merged
from policies.compiler.regions import ICMP, ICMPV6
from policies.dialect.document import ANY_PORT
from policies.dialect.resolve import ResolvedRule
from policies.dialect.selectors import PORTED

Content = TypeVar("Content", bound=tuple[object, ...])


class Box(NamedTuple):
    """Sources × destinations × ports, of one family and protocol."""

    sources: Range
    destinations: Range
    ports: Range


Slab: TypeAlias = "tuple[Range, tuple[Range, ...]]"
Reached: TypeAlias = "tuple[Range, tuple[Slab, ...]]"
Meaning: TypeAlias = "Mapping[tuple[Family, int], tuple[Reached, ...]]"
"""Family and protocol → sources → destinations → ports; ranges merged at each level."""

_FOREIGN: Final[Mapping[Family, int]] = {4: ICMPV6, 6: ICMP}
"""The ICMP of the other family: no such packet is valid."""


def meaning(resolved: Iterable[ResolvedRule]) -> Meaning:
    """Return the canonical form of what resolved rules let through."""
    boxes: defaultdict[tuple[Family, int], list[Box]] = defaultdict(list)
    for found in resolved:
        for reach in found.reaches:
            for protocol in reach.service.protocols:
                boxes[reach.family, protocol] += (
                    Box(
                        source, reach.addresses, ports_of(protocol, reach.service.ports)
                    )
                    for source in found.sources.of(reach.family)
                )
    return canonical(boxes)


def canonical(boxes: Mapping[tuple[Family, int], Iterable[Box]]) -> Meaning:
    """Return the canonical form of a union of boxes."""
    return {
        (family, protocol): form
        for (family, protocol), listed in sorted(boxes.items())
        if protocol != _FOREIGN[family] and (form := _sources(tuple(listed)))
    }


def ports_of(protocol: int, ports: Range) -> Range:
    """Return the ports that matter: all of them where there are none."""
    return ports if protocol in PORTED else ANY_PORT


def _sources(boxes: tuple[Box, ...]) -> tuple[Reached, ...]:
    """Return, for each range of sources, what it reaches."""
    result: list[Reached] = []
    for span in _cuts(box.sources for box in boxes):
        inside = tuple(box for box in boxes if _covers(box.sources, span))
        _append(result, span, _destinations(inside))
    return tuple(result)


def _destinations(boxes: tuple[Box, ...]) -> tuple[Slab, ...]:
    """Return, for each range of destinations, the ports reached there."""
    result: list[Slab] = []
    for span in _cuts(box.destinations for box in boxes):
        ports = merged(b.ports for b in boxes if _covers(b.destinations, span))
        _append(result, span, ports)
    return tuple(result)


def _append(result: list[tuple[Range, Content]], span: Range, content: Content) -> None:
    """Add a range, joined to the last one if that says the same and touches it."""
    if not content:
        return
    if result and result[-1][0][1] + 1 == span[0] and result[-1][1] == content:
        result[-1] = ((result[-1][0][0], span[1]), content)
    else:
        result.append((span, content))


def _cuts(spans: Iterable[Range]) -> tuple[Range, ...]:
    """Return the pieces between all edges of the ranges, in order."""
    edges = sorted({e for first, last in spans for e in (first, last + 1)})
    return tuple((a, b - 1) for a, b in pairwise(edges))


def _covers(outer: Range, inner: Range) -> bool:
    """Return whether a range holds all of another."""
    return outer[0] <= inner[0] and inner[1] <= outer[1]
