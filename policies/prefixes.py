"""Which applications share an address with a prefix, without looking at all. Pure."""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice, takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policies.compiler.types import Application, IPNetwork


class Prefixes:
    """The prefixes of applications. Of two that share an address, one holds the other.

    Each prefix is looked up once.
    """

    def __init__(self, applications: Iterable[Application]) -> None:
        """Index the destinations."""
        self._at: dict[IPNetwork, set[int]] = {}
        for application in applications:
            for place in application.destinations:
                self._at.setdefault(place.prefix, set()).add(application.id)
        self._sorted = sorted(self._at, key=_by_address)
        self._lengths = sorted({(p.version, p.prefixlen) for p in self._at})
        self._around: dict[IPNetwork, frozenset[int]] = {}

    def around(self, prefix: IPNetwork) -> frozenset[int]:
        """Return the applications that have an address of this prefix."""
        if prefix not in self._around:
            found = (*self._wider(prefix), *self._inside(prefix))
            self._around[prefix] = frozenset[int]().union(
                *(self._at.get(other, ()) for other in found)
            )
        return self._around[prefix]

    def _wider(self, prefix: IPNetwork) -> Iterable[IPNetwork]:
        """Yield the prefixes that would hold this one."""
        for version, length in self._lengths:
            if version == prefix.version and length < prefix.prefixlen:
                yield prefix.supernet(new_prefix=length)

    def _inside(self, prefix: IPNetwork) -> Iterable[IPNetwork]:
        """Return the prefixes that this one holds; they follow it in order."""
        first = bisect_left(self._sorted, _by_address(prefix), key=_by_address)
        last = int(prefix.broadcast_address)
        return takewhile(
            lambda p: p.version == prefix.version and int(p.network_address) <= last,
            islice(self._sorted, first, None),
        )


def _by_address(prefix: IPNetwork) -> tuple[int, int, int]:
    return (prefix.version, int(prefix.network_address), prefix.prefixlen)
