"""Rules of sweeping: the same points, disjoint, few."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from policies.compiler.sweep import Box, Owners, overlay, union

spans = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(
    lambda pair: (min(pair) + 1, max(pair) + 1)
)
boxes = st.lists(st.tuples(spans, spans), max_size=5)


def points(found: Iterable[Box]) -> set[tuple[int, int]]:
    return {
        (x, y)
        for (left, right), (low, high) in found
        for x in range(left, right + 1)
        for y in range(low, high + 1)
    }


def meet(one: Box, other: Box) -> bool:
    return all(a[0] <= b[1] and b[0] <= a[1] for a, b in zip(one, other, strict=True))


@given(boxes)
def test_a_union_covers_the_same_without_overlap(given_boxes: list[Box]) -> None:
    found = list(union(given_boxes))
    assert points(found) == points(given_boxes)
    assert not any(meet(one, other) for one, other in combinations(found, 2))


@given(st.lists(boxes, max_size=4))
def test_an_overlay_knows_every_owner_of_every_point(layers: list[list[Box]]) -> None:
    found = list(overlay({n: union(layer) for n, layer in enumerate(layers)}))
    owners: dict[tuple[int, int], Owners] = {}
    for addresses, (low, high, held) in found:
        for point in points([(addresses, (low, high))]):
            assert point not in owners
            owners[point] = held
    for n, layer in enumerate(layers):
        assert {point for point, held in owners.items() if n in held} == points(layer)


def test_edges_at_one_address_do_not_cut_what_goes_on() -> None:
    left, right, below = ((1, 5), (1, 9)), ((6, 9), (1, 9)), ((1, 9), (10, 12))
    assert set(overlay({1: [left, right], 2: [below]})) == {
        ((1, 9), (1, 9, frozenset({1}))),
        ((1, 9), (10, 12, frozenset({2}))),
    }
