"""A lease ends by both clocks; a clock that jumps is not believed. Pure."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.freshness import Freshness
from policies.compiler.snapshot import digest, snapshot_bytes
from policies.compiler.types import Lease
from tests.gateway.world import DEPLOYMENT, GATEWAY, NOW, snapshot

LEASE = Lease(
    deployment=DEPLOYMENT,
    audience=GATEWAY,
    epoch=1,
    generation=1,
    digest=digest(snapshot_bytes(snapshot())),
    issued=NOW,
    not_after=NOW + timedelta(seconds=900),
)
FRESH = Freshness(lease=LEASE, now=NOW, ticks=50.0, is_received=True)


@pytest.mark.parametrize(
    ("wall", "ticks", "left"),
    [(0, 50.0, 900), (100, 150.0, 800), (-3600, 150.0, 800), (3600, 60.0, -2700)],
    ids=["at arrival", "later", "wall set back", "wall set forward"],
)
def test_the_earlier_clock_ends_the_lease(wall: int, ticks: float, left: float) -> None:
    now = NOW + timedelta(seconds=wall)
    assert FRESH.seconds_left(now=now, ticks=ticks) == left


@pytest.mark.parametrize(
    ("wall", "is_sane"),
    [(10, True), (69, True), (71, False), (-51, False)],
)
def test_a_wall_clock_that_jumps_is_not_sane(wall: int, *, is_sane: bool) -> None:
    now = NOW + timedelta(seconds=wall)
    assert FRESH.is_clock_sane(now=now, ticks=60.0) is is_sane


def test_a_clock_far_ahead_of_the_portal_is_not_sane() -> None:
    late = NOW + timedelta(seconds=61)
    received = Freshness(lease=LEASE, now=late, ticks=50.0, is_received=True)
    stored = Freshness(lease=LEASE, now=late, ticks=50.0, is_received=False)
    assert not received.is_clock_sane(now=late, ticks=50.0)
    assert stored.is_clock_sane(now=late, ticks=50.0)
