"""Faults of one gateway, its agent a process, the portal scripted."""

from __future__ import annotations

import re
import resource
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from policies.compiler.types import Facts
from tests.faults.field import OWN_HOST, Field, field, policy
from tests.faults.isolated import isolated
from tests.faults.probing import Probe
from tests.gateway.netns.lab import until
from tests.gateway.world import ALICE, public_text, without
from tests.policies.compiler.build import device

LEASE: Final = 6.0
"""Seconds that a portal here lets a gateway go on alone; 900 by default."""


def without_alice() -> Facts:
    """Return the policy after alice was revoked."""
    return without([ALICE], policy())


def stays_then_closes(
    made: Field, *probes: Probe, since: float, later: float = 0.0
) -> None:
    """Hold that all is open now and closed when the lease of the portal ends.

    `later` seconds after the fault a lease may still have come.
    """
    for probe in probes:
        assert probe.is_open(), probe
    for probe in probes:
        assert 1.0 < probe.closes(LEASE + 2) - since <= LEASE + later, probe
    assert not made.is_live()


@isolated()
def test_fault_01_portal_is_down_gateways_stay_then_deny() -> None:
    with field(lease=LEASE) as made:
        running, fresh = made.probe("alice"), made.probe("bob", fresh=True)
        running.opens()
        fresh.opens()
        made.portal.is_reachable = False
        stays_then_closes(made, running, fresh, since=time.monotonic())
        made.portal.is_reachable = True
        running.opens()
        fresh.opens()


@isolated()
def test_fault_10_partitioned_gateway_stays_then_closes_and_loses_no_evidence() -> None:
    with field(lease=LEASE) as made:
        running, fresh = made.probe("alice"), made.probe("bob", fresh=True)
        running.opens()
        fresh.opens()
        made.partition()
        cut = time.monotonic()
        stays_then_closes(made, running, fresh, since=cut)
        fresh.stop()
        assert made.spooled()
        assert not fresh.ports <= told(made)
        made.heal()
        running.opens()
        until(lambda: fresh.ports <= told(made), "the evidence of the time", 40)
        numbers = [int(str(r["seq"])) for r in made.portal.records]
        assert numbers == list(range(1, len(numbers) + 1))
        assert made.records("gap") == []


def told(made: Field) -> set[object]:
    """Return the source ports of the flows that the portal was told of."""
    return {r["source_port"] for r in made.records("open")}


@pytest.mark.parametrize("way", ["deafen", "mute"])
@isolated()
def test_fault_11_one_way_partition_counts_as_no_fresh_snapshot(way: str) -> None:
    with field(lease=LEASE) as made:
        running = made.probe("alice")
        running.opens()
        getattr(made, way)()
        cut = time.monotonic()
        # The poll that waits may still be answered, if the agent hears.
        time.sleep(1.5)
        made.publish(without_alice())
        stays_then_closes(made, running, since=cut, later=1.5)
        assert made.generation not in {
            a["generation"] for a in made.portal.acknowledgements
        }
        made.heal()
        made.applied(made.generation, 30)
        assert not running.is_open()


@isolated(seconds=120)
def test_fault_12_lossy_slow_link_converges_and_applies_nothing_in_part() -> None:
    with field(lease=60) as made:
        alice, bob = made.probe("alice"), made.probe("bob")
        alice.opens()
        bob.opens()
        made.slow("512kbit")
        made.lose(30)
        begun = time.monotonic()
        # She leaves the group: a revoked key would never come back.
        made.publish(replace(policy(), memberships=((2, 4),)))
        made.applied(2, 60)
        closed = alice.closes(1)
        made.publish()
        made.applied(3, 60)
        alice.opens(30)
        assert closed > begun
        assert bob.longest_gap(begun, time.monotonic()) < 1.0
        assert made.errors() == []


CUT: Final = "cut flows:after"
ONE_OF: Final = ("persist:before", "nftables:after", CUT)
BETWEEN: Final = "spool append:after"
KILLED_AT: Final = (
    *("verify:before", "verify:after", "fsync:before", "persist:after"),
    *("nftables:before", "remove peers:before", "remove peers:after"),
    *("list flows:before", "cut flows:before", "read back:before"),
    *("keep lease:before", "acknowledge:before", "acknowledge:after"),
    *("renew:before", BETWEEN, "spool sync:before"),
)


@pytest.mark.parametrize(
    "point",
    [*ONE_OF, *(pytest.param(point, marks=pytest.mark.long) for point in KILLED_AT)],
)
@isolated()
def test_fault_13_killed_at_a_point_the_next_start_converges(point: str) -> None:
    with field(is_killable=True) as made:
        alice, bob = made.probe("alice"), made.probe("bob")
        alice.opens()
        bob.opens()
        until(lambda: len(made.records("open")) == 2, "their flows to be told", 10)
        made.kill_at(point)
        begun = time.monotonic()
        made.publish(without_alice())
        assert made.agent.wait(20) == -signal.SIGKILL
        assert bob.is_open()
        made.spare()
        made.start()
        made.applied(2)
        alice.closes(2)
        assert public_text("alice") not in made.peers()
        # Until the portal answers it may be closed: the lease on disk may be of the
        # generation before.
        bob.opens()
        assert bob.longest_gap(begun, time.monotonic()) < 5.0
        until(lambda: has_totals_since_its_start(made), "the control totals", 20)
        if point == BETWEEN:
            # The one moment in which a record has no line in the journal yet.
            return
        # Nothing is told twice, and what was missed is counted.
        opened = [record["flow"] for record in made.records("open")]
        assert len(opened) == 2
        (ended,) = made.records("close")
        assert ended["flow"] in opened
        missed = [(gap["source"], gap["lost"]) for gap in made.records("gap")]
        if point == CUT and missed:
            # The kernel's word that the flow ended went to an agent that was dying.
            assert missed == [("conntrack", 1)]
            assert ended["reason"] == "restart"
            return
        assert missed == []
        assert ended["reason"] == "revoked"


def has_totals_since_its_start(made: Field) -> bool:
    """Return whether the second agent has compared its totals with the kernel's."""
    starts = [int(str(record["seq"])) for record in made.records("start")]
    totals = [int(str(record["seq"])) for record in made.records("totals")]
    return len(starts) == 2 and any(number > starts[-1] for number in totals)


@isolated()
def test_fault_14_killed_between_ruleset_and_peers_the_revoked_stay_out() -> None:
    with field(lease=LEASE, is_killable=True) as made:
        alice, bob = made.probe("alice"), made.probe("bob")
        alice.opens()
        bob.opens()
        made.kill_at("remove peers:before")
        made.publish(without_alice())
        assert made.agent.wait(20) == -signal.SIGKILL
        died = time.monotonic()
        assert public_text("alice") in made.peers()
        assert not alice.is_open()
        assert bob.is_open()
        assert bob.closes(LEASE + 2) - died <= LEASE
        made.spare()
        made.start()
        made.applied(2)
        bob.opens()
        assert public_text("alice") not in made.peers()
        assert not alice.is_open()


def hangs(*, lease: float, seconds: float) -> None:
    """Stop the agent where it stands: the kernel closes, and opens when it goes on."""
    with field(lease=lease) as made:
        running, fresh = made.probe("alice"), made.probe("bob", fresh=True)
        running.opens()
        fresh.opens()
        made.freeze()
        frozen = time.monotonic()
        assert running.is_open()
        assert running.closes(seconds + 2) - frozen <= seconds
        assert not fresh.is_open()
        made.thaw()
        running.opens()
        fresh.opens()


@isolated()
def test_fault_15_hung_agent_the_kernel_closes() -> None:
    hangs(lease=LEASE, seconds=LEASE)


@pytest.mark.long
@isolated(seconds=150)
def test_fault_15_hung_agent_the_kernel_closes_within_the_minute() -> None:
    hangs(lease=900, seconds=60)


@isolated()
def test_fault_17_refused_transaction_keeps_the_old_state_and_still_revokes() -> None:
    with field(lease=30) as made:
        made.kill()
        made.start(program=("-m", "tests.faults.refused_agent"))
        alice, bob, own = (
            made.probe("alice"),
            made.probe("bob"),
            made.probe("alice", OWN_HOST),
        )
        for probe in (alice, bob, own):
            probe.opens()
        before = made.table()
        made.kill_at("refuse")
        made.publish(without_alice())
        until(made.errors, "the alarm")
        alice.closes(1)
        own.closes(1)
        assert bob.is_open()
        assert rules(made.table()) == rules(before)
        assert public_text("alice") not in made.peers()
        assert "exist" in made.errors()[0]
        made.spare()
        made.applied(2)
        assert bob.is_open()
        assert not alice.is_open()


def rules(table: str) -> list[str]:
    """Return the rules of a listing, without what they counted and without elements."""
    listed = (line.strip() for line in table.splitlines())
    counted = (re.sub(r"packets \d+ bytes \d+", "", line) for line in listed)
    return [line for line in counted if re.search(r"accept|drop|goto|jump", line)]


@isolated(seconds=90)
def test_fault_61_out_of_memory_is_a_crash_that_the_next_start_survives() -> None:
    with field() as made:
        alice, bob = made.probe("alice"), made.probe("bob")
        alice.opens()
        bob.opens()
        starve(made.agent.pid)
        made.publish(without([ALICE], crowded(20_000)))
        assert made.agent.wait(40) != 0
        assert bob.is_open()
        assert made.is_live()
        made.start()
        made.applied(2)
        alice.closes(2)
        bob.opens()


def starve(pid: int) -> None:
    """Give a process hardly more memory than it has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))


def crowded(number: int) -> Facts:
    """Return the policy with so many more devices in alice's and bob's group."""
    more = [device(n) for n in range(1000, 1000 + number)]
    base = policy()
    return replace(
        base,
        devices=(*base.devices, *more),
        memberships=(*base.memberships, *((d.user_id, 4) for d in more)),
    )
