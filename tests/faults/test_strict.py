"""Applications with terms of their own, and evidence that cannot be kept."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import replace
from typing import Final

from gateway.errors import PortalUnreachableError
from policies.compiler.strictness import Evidence, Strictness
from policies.compiler.types import Facts
from tests.faults import crowding
from tests.faults.field import HOST6, OWN_HOST, Field, field, policy
from tests.faults.impatient import be_impatient
from tests.faults.isolated import isolated
from tests.gateway.netns.lab import command, inside, until
from tests.gateway.world import ALICE, without

BEST_EFFORT = Strictness(evidence=Evidence.BEST_EFFORT)
LIMIT = 4
"""Seconds; see `impatient`."""


def quick_terms() -> Strictness:
    """Return a limit that only the impatient take."""
    return Strictness(max_staleness=LIMIT)


def with_terms(group: Strictness, alone: Strictness) -> Facts:
    """Return the policy with these terms of the group's application and alice's."""
    given = policy()
    three, five = given.applications
    return replace(
        given,
        applications=(
            replace(three, strictness=group),
            replace(five, strictness=alone),
        ),
    )


@isolated()
def test_silence_beyond_its_limit_cuts_one_application_and_no_other() -> None:
    be_impatient()
    with field(start=False) as made:
        generation = made.publish(with_terms(quick_terms(), BEST_EFFORT))
        made.start(program=("-m", "tests.faults.impatient"))
        made.applied(generation)
        quick, fresh = made.probe("alice"), made.probe("bob", fresh=True)
        other = made.probe("alice", OWN_HOST)
        for probe in (quick, fresh, other):
            probe.opens()
        # A portal that answers keeps it open far beyond the limit.
        assert quick.longest_gap(time.monotonic() - 1, time.monotonic()) < 1
        made.partition()
        cut = time.monotonic()
        closed = quick.closes(LIMIT + 3)
        assert LIMIT - 2 < closed - cut < LIMIT + 2
        assert not fresh.is_open()
        assert other.is_open()
        assert other.longest_gap(cut, time.monotonic()) < 1
        made.heal()
        quick.opens()
        fresh.opens()
        assert {r["reason"] for r in made.records("deny")} <= {"withheld", "no_device"}


@isolated()
def test_new_flows_end_at_the_limit_though_the_agent_hangs() -> None:
    be_impatient()
    with field(start=False) as made:
        generation = made.publish(with_terms(quick_terms(), BEST_EFFORT))
        made.start(program=("-m", "tests.faults.impatient"))
        made.applied(generation)
        fresh = made.probe("bob", fresh=True)
        other = made.probe("alice", OWN_HOST, fresh=True)
        fresh.opens()
        other.opens()
        made.freeze()
        frozen = time.monotonic()
        closed = fresh.closes(LIMIT + 3)
        assert closed - frozen <= LIMIT + 0.5
        assert other.is_open()
        made.thaw()
        fresh.opens()


MEGABYTE = "size=1m"
DENIED = 5_000


@isolated(seconds=120)
def test_fault_09_a_full_spool_closes_what_is_strict_and_counts_what_is_not() -> None:
    with field(start=False) as made:
        spool = made.state / "spool"
        spool.mkdir()
        command("mount", "-t", "tmpfs", "-o", MEGABYTE, "tmpfs", str(spool))
        generation = made.publish(with_terms(Strictness(), BEST_EFFORT))
        made.start()
        made.applied(generation)
        strict, lax = made.probe("alice"), made.probe("alice", OWN_HOST)
        strict.opens()
        lax.opens()
        take, made.portal.send_evidence = made.portal.send_evidence, refuse  # type: ignore[method-assign]
        began = time.monotonic()
        spray("bob", OWN_HOST, DENIED)
        strict.closes(30)
        assert lax.is_open()
        assert made.probe("alice", OWN_HOST).opens() < 5
        assert not made.probe("alice").is_open()
        assert lax.longest_gap(began, time.monotonic()) < 1
        # What the agent keeps beside evidence finds its place still.
        assert made.applied(made.publish(with_terms(Strictness(), BEST_EFFORT)))
        for probe in made.probes:
            probe.stop()
        made.portal.send_evidence = take  # type: ignore[method-assign]
        until(lambda: made.records("gap"), "the gap to be told", 60)
        until(
            lambda: "wg0" in made.table().split("set lease_strict {")[1][:200],
            "the lease",
        )
        made.probe("bob").opens(30)
        happened = counted(made)
        until(lambda: told(made) >= happened, "every event to be told or counted", 20)
        assert told(made) == happened
        lost = sum(int(str(gap["lost"])) for gap in made.records("gap"))
        assert 500 < lost < DENIED
        assert {gap["source"] for gap in made.records("gap")} == {"spool"}


def refuse(*_: object, **__: object) -> bytes:
    """Take no evidence."""
    raise PortalUnreachableError("nobody answers")


def spray(device: str, host: str, count: int) -> None:
    """Send a datagram to each of so many ports, none of which is granted."""
    with inside(
        device, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ) as out:
        for number in range(count):
            out.sendto(b"?", (host, 20_000 + number))
            if not number % 50:
                time.sleep(0.01)


def counted(made: Field) -> int:
    """Return how many events there were: by the kernel's counters, but for two things.

    What is denied again and again is told once, here the two flows of alice that were
    withheld; and the one that was cut has a close.
    """
    passed = re.findall(r'packets (\d+) bytes \d+ log prefix "gt_', made.table())
    denied = re.findall(r'packets (\d+) bytes \d+ log prefix "no_gr', made.table())
    return sum(map(int, passed)) + sum(map(int, denied)) + 2 + 1


def told(made: Field) -> int:
    """Return how many records came, and were said to be lost."""
    came = sum(len(made.records(kind)) for kind in ("open", "deny", "close"))
    return came + sum(int(str(gap["lost"])) for gap in made.records("gap"))


STAY: Final = 20
"""Seconds until an entry that crowds the table is gone."""


@isolated(seconds=120)
def test_fault_28_a_full_table_drops_what_is_new_keeps_the_rest_and_revokes() -> None:
    with field() as made:
        alice, bob = made.probe("alice"), made.probe("bob")
        alice.opens()
        bob.opens()
        time.sleep(3)  # until conntrack calls their flows assured (UDP: 2 s)
        most = crowding.most()
        crowding.fill(0, most * 4 // 5, seconds=STAY)
        until(lambda: states(made) == ["crowded"], "the alarm")
        began = time.monotonic()
        crowding.fill(most * 4 // 5, most, seconds=STAY)
        fresh = made.probe("bob", HOST6, fresh=True)
        until(lambda: crowding.entries() >= most - 10, "a full table", 5)
        assert not fresh.is_open()
        assert bob.is_open()
        # Who is revoked is cut as at any other time.
        made.applied(made.publish(without([ALICE], policy())))
        alice.closes(3)
        assert bob.longest_gap(began, time.monotonic()) < 1
        fresh.opens(STAY + 10)
        until(lambda: states(made) == ["crowded", "relieved"], "relief", 20)


def states(made: Field) -> list[object]:
    """Return what was told of the table, in order."""
    return [record["state"] for record in made.records("flow_table")]
