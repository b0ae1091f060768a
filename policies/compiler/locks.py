"""Locks: what is taken out of the facts before anything is compiled. Pure.

A lock beats every grant because nothing that is locked reaches the compiler: the
devices of locked people and of members of locked groups, locked devices, locked
applications, and all there is on a locked gateway. A lock only ever removes, so more
locks never give more access, and their order never matters.

The end of a lock is not told to the kernel: whoever was locked stays out until a
generation is published without the lock. `next_change` names that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from policies.compiler import compile as compiling
from policies.compiler.types import NEVER, Facts, SubjectKind


class LockKind(StrEnum):
    """What a lock is on; the value is the prefix of its target's machine id."""

    USER = "us"
    DEVICE = "dv"
    GROUP = "gr"
    APPLICATION = "ap"
    GATEWAY = "gw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A deny on one target until `expires_at` (or `NEVER`).

    `members` are the user ids of a locked group: the facts know only the members of
    groups that are granted something, and a locked group need not be.
    """

    kind: LockKind
    id: int
    expires_at: datetime
    members: frozenset[int] = frozenset()


def without_locked(facts: Facts, locks: Iterable[Lock], *, now: datetime) -> Facts:
    """Return the facts less everything that is locked at `now`."""
    live = [lock for lock in locks if now < lock.expires_at]
    if not live:
        return facts
    if facts.gateway_id in _ids(live, LockKind.GATEWAY):
        return replace(facts, devices=(), memberships=(), applications=(), grants=())
    people = _ids(live, LockKind.USER).union(*(lock.members for lock in live))
    groups = _ids(live, LockKind.GROUP)
    devices = _ids(live, LockKind.DEVICE)
    applications = _ids(live, LockKind.APPLICATION)
    subjects = {SubjectKind.USER: people, SubjectKind.GROUP: groups}
    return replace(
        facts,
        devices=tuple(
            device
            for device in facts.devices
            if device.user_id not in people and device.id not in devices
        ),
        memberships=tuple(
            (user, group)
            for user, group in facts.memberships
            if user not in people and group not in groups
        ),
        applications=tuple(
            application
            for application in facts.applications
            if application.id not in applications
        ),
        grants=tuple(
            grant
            for grant in facts.grants
            if grant.application_id not in applications
            and grant.subject.id not in subjects[grant.subject.kind]
        ),
    )


def next_change(
    facts: Facts, locks: Iterable[Lock], *, now: datetime
) -> datetime | None:
    """Return the next moment at which time alone changes the result, or None.

    `facts` are those without what is locked at `now`.
    """
    moments = [lock.expires_at for lock in locks if now < lock.expires_at < NEVER]
    change = compiling.next_change(facts, now=now)
    return min([*moments, *([change] if change else [])], default=None)


def _ids(locks: Sequence[Lock], kind: LockKind) -> frozenset[int]:
    return frozenset(lock.id for lock in locks if lock.kind is kind)
