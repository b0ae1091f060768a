"""What an established flow rests on ends: the flow ends, and nobody else's does.

Packets of flows that were established long before, through a real gateway.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest

from policies.compiler.locks import Lock, LockKind, without_locked
from policies.compiler.types import Facts
from tests.faults.field import HOST, OWN_HOST, Field, field, policy
from tests.faults.isolated import isolated
from tests.gateway.world import ALICE
from tests.policies.compiler.build import application

SOON: Final = 4.0
"""Seconds until something ends by itself."""


def grant_ended(given: Facts) -> Facts:
    """End alice's own grant, as an administrator does."""
    return replace(given, grants=tuple(g for g in given.grants if g.id != 10))


def member_lost(given: Facts) -> Facts:
    """Take alice out of the group, as her next sign-in may."""
    return replace(given, memberships=tuple(m for m in given.memberships if m[0] != 1))


def destination_removed(given: Facts) -> Facts:
    """Leave the group's application one port of two."""
    three = application(3, "10.50.0.10/32 tcp 8080", "fd50::10/128 tcp 8080")
    return replace(given, applications=(three, *given.applications[1:]))


def user_locked(given: Facts) -> Facts:
    """Lock alice."""
    return locked(given, LockKind.USER, 1)


def application_locked(given: Facts) -> Facts:
    """Lock her own application."""
    return locked(given, LockKind.APPLICATION, 5)


def locked(given: Facts, kind: LockKind, number: int) -> Facts:
    """Return facts less what a lock takes, which ends some time."""
    now = datetime.now().astimezone()  # noqa: TID251 -- a test's own clock
    lock = Lock(kind=kind, id=number, expires_at=now + timedelta(hours=1))
    return without_locked(given, (lock,), now=now)


CHANGES: Final[dict[str, tuple[Callable[[Facts], Facts], str, str]]] = {
    # What changes, what alice loses, and what she keeps.
    "grant": (grant_ended, OWN_HOST, HOST),
    "member": (member_lost, HOST, OWN_HOST),
    "destination": (destination_removed, HOST, OWN_HOST),
    "application locked": (application_locked, OWN_HOST, HOST),
    "user locked": (user_locked, HOST, ""),
}


@pytest.mark.parametrize("what", CHANGES)
@isolated()
def test_what_is_taken_away_is_cut_and_what_is_left_goes_on(what: str) -> None:
    change, lost, kept = CHANGES[what]
    with field() as made:
        losing = made.probe("alice", lost)
        others = [made.probe("bob")]
        others += [made.probe("alice", kept)] if kept else []
        for probe in (losing, *others):
            probe.opens()
        began = time.monotonic()
        done = made.applied(made.publish(change(policy())))
        assert losing.closes(5) - began < 1
        assert done["flows_cut"] in {1, 2}
        assert not made.probe("alice", lost).is_open()
        for probe in others:
            if what == "destination" and probe.device == "bob":
                # His as well: it was the group's application.
                assert not probe.is_open()
            else:
                assert probe.longest_gap(began, time.monotonic()) < 1


def ending(made: Field, *, grant: bool) -> Facts:
    """Return the policy with alice's own grant, or her session, ending soon."""
    given, end = policy(), made.portal.system.now() + timedelta(seconds=SOON)
    if grant:
        grants = tuple(
            replace(g, expires_at=end) if g.id == 10 else g for g in given.grants
        )
        return replace(given, grants=grants)
    devices = tuple(
        replace(d, expires_at=end) if d.id == ALICE else d for d in given.devices
    )
    return replace(given, devices=devices)


@isolated()
def test_fault_38_a_grant_ends_on_time_on_a_gateway_that_is_cut_off() -> None:
    with field(start=False) as made:
        ends = time.monotonic() + SOON
        made.publish(ending(made, grant=True))
        made.start()
        made.applied(1)
        standing, fresh = (
            made.probe("alice", OWN_HOST, fresh=f) for f in (False, True)
        )
        other = made.probe("alice")
        for probe in (standing, fresh, other):
            probe.opens(ends - time.monotonic())
        made.partition()
        assert abs(standing.closes(SOON + 3) - ends) < 1.5
        assert fresh.last() - ends < 1
        assert not fresh.is_open()
        assert other.longest_gap(ends - 1, time.monotonic()) < 1
        made.heal()


@isolated()
def test_fault_38_the_kernel_ends_a_grant_for_new_flows_though_the_agent_hangs() -> (
    None
):
    with field(start=False) as made:
        ends = time.monotonic() + SOON
        made.publish(ending(made, grant=True))
        made.start()
        made.applied(1)
        fresh, other = made.probe("alice", OWN_HOST, fresh=True), made.probe("alice")
        fresh.opens(ends - time.monotonic())
        other.opens()
        made.freeze()
        assert abs(fresh.closes(SOON + 3) - ends) < 1.5
        assert other.is_open()
        made.thaw()


@pytest.mark.parametrize("agent", ["runs", "hangs", "is dead"])
@isolated()
def test_the_kernel_ends_a_session_whatever_becomes_of_the_agent(agent: str) -> None:
    with field(start=False) as made:
        ends = time.monotonic() + SOON
        made.publish(ending(made, grant=False))
        made.start()
        made.applied(1)
        standing, bob = made.probe("alice"), made.probe("bob")
        standing.opens(ends - time.monotonic())
        bob.opens()
        made.partition()
        if agent == "hangs":
            made.freeze()
        elif agent == "is dead":
            made.kill()
        assert abs(standing.closes(SOON + 3) - ends) < 1.5
        assert bob.is_open()
        if agent == "hangs":
            made.thaw()


@isolated()
def test_a_lock_that_ends_while_the_portal_is_away_opens_nothing_by_itself() -> None:
    with field() as made:
        alice, bob = made.probe("alice"), made.probe("bob")
        alice.opens()
        bob.opens()
        now = made.portal.system.now()
        lock = Lock(kind=LockKind.USER, id=1, expires_at=now + timedelta(seconds=SOON))
        made.applied(made.publish(without_locked(policy(), (lock,), now=now)))
        alice.closes(5)
        made.partition()
        time.sleep(SOON)  # until the lock has ended
        assert not alice.is_open()
        assert bob.is_open()
        made.heal()
        # What ended is the portal's to say.
        after = without_locked(policy(), (lock,), now=made.portal.system.now())
        made.applied(made.publish(after))
        alice.opens()


@isolated()
def test_fault_44_a_grant_ends_in_the_kernel_though_nobody_sweeps() -> None:
    """The portal answers all the time, but no task of its own compiles anew."""
    with field(start=False) as made:
        ends = time.monotonic() + SOON
        generation = made.publish(ending(made, grant=True))
        made.start()
        made.applied(generation)
        standing, other = made.probe("alice", OWN_HOST), made.probe("alice")
        standing.opens(ends - time.monotonic())
        other.opens()
        assert abs(standing.closes(SOON + 3) - ends) < 1.5
        assert not made.probe("alice", OWN_HOST, fresh=True).is_open()
        assert other.is_open()
        assert made.generation == generation
