"""Boxes of integers, cut into disjoint boxes that know who covers them.

A box is a range of addresses by a range of services. Both functions walk once over
the addresses; between two neighbouring edges nothing changes. `overlay` touches only
the cells that an edge concerns, so thousands of narrow boxes inside hundreds of wide
ones cost thousands of steps and not hundreds of thousands.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from policies.compiler.ranges import Range, merged

Box: TypeAlias = tuple[Range, Range]
Owners: TypeAlias = frozenset[int]
Cell: TypeAlias = tuple[int, int, Owners]

_BEYOND: Final = 2**62
"""More than any service."""


def union(boxes: Iterable[Box]) -> Iterator[Box]:
    """Yield disjoint boxes that cover what `boxes` cover."""
    edges: defaultdict[int, list[tuple[Range, int]]] = defaultdict(list)
    for (first, last), services in boxes:
        edges[first].append((services, 1))
        edges[last + 1].append((services, -1))
    active: Counter[Range] = Counter()
    opened: dict[Range, int] = {}
    for edge in sorted(edges):
        for services, step in edges[edge]:
            active[services] += step
        active = +active
        covered = set(merged(active))
        for services in opened.keys() - covered:
            yield (opened.pop(services), edge - 1), services
        for services in covered - opened.keys():
            opened[services] = edge


def overlay(layers: Mapping[int, Iterable[Box]]) -> Iterator[tuple[Range, Cell]]:
    """Yield disjoint boxes with every owner that covers them.

    Each owner's boxes are disjoint among themselves (see `union`): then an edge
    turns an owner on or off, and the order of edges at one address is no matter. A
    cell that an edge closes and opens again unchanged stays one box.
    """
    edges: defaultdict[int, list[tuple[Range, int]]] = defaultdict(list)
    for owner, boxes in layers.items():
        for (first, last), services in boxes:
            edges[first].append((services, owner))
            edges[last + 1].append((services, owner))
    cells = _Cells()
    opened: dict[Cell, int] = {}
    for edge in sorted(edges):
        closing: dict[Cell, int] = {}
        for services, owner in edges[edge]:
            gone, come = cells.toggle(services, owner)
            for cell in gone:
                closing[cell] = opened.pop(cell)
            for cell in come:
                opened[cell] = closing.pop(cell, edge)
        for cell, start in closing.items():
            if start < edge:
                yield (start, edge - 1), cell


class _Cells:
    """The services, cut into cells of equal owners: sorted starts, no gaps.

    A cell ends where the next one starts. Nobody ever owns the first, from 0, nor
    the last, from beyond every service.
    """

    def __init__(self) -> None:
        """Begin with nobody owning anything."""
        self._starts = [0, _BEYOND]
        self._owners: list[Owners] = [frozenset(), frozenset()]

    def toggle(self, services: Range, owner: int) -> tuple[set[Cell], set[Cell]]:
        """Turn an owner on or off; return the owned cells that went and that came.

        A neighbour on either side takes part, because it may become one with what
        is turned.
        """
        low = max(bisect_right(self._starts, services[0]) - 2, 0)
        high = min(bisect_right(self._starts, services[1]) + 1, len(self._starts) - 1)
        before = self._owned(low, high)
        starts: list[int] = []
        owners: list[Owners] = []
        for point, held in self._cut(low, high, services):
            on = services[0] <= point <= services[1]
            now = held ^ {owner} if on else held
            if not owners or owners[-1] != now:
                starts.append(point)
                owners.append(now)
        self._starts[low:high] = starts
        self._owners[low:high] = owners
        after = self._owned(low, low + len(starts))
        return before - after, after - before

    def _cut(
        self, low: int, high: int, services: Range
    ) -> Iterator[tuple[int, Owners]]:
        """Yield the cells of a window, cut where `services` start and end."""
        cuts = (services[0], services[1] + 1)
        for index in range(low, high):
            start, end, held = *self._starts[index : index + 2], self._owners[index]
            yield start, held
            for point in cuts:
                if start < point < end:
                    yield point, held

    def _owned(self, low: int, high: int) -> set[Cell]:
        """Return the cells from index `low` to before `high` that somebody owns."""
        return {
            (self._starts[index], self._starts[index + 1] - 1, self._owners[index])
            for index in range(low, high)
            if self._owners[index]
        }
