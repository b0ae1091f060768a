"""What a lock takes away, and what lifting it gives back. Not a gate.

Judged as gateways are published: from the facts, with all other locks in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from peers.selectors import enrolled_gateways
from policies.compiler.locks import Loss, loss, without_locked
from policies.facts import load_rows, lock_of
from policies.models import Application, Lock
from portal.accounts.models import Membership, User

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from policies.compiler import locks
    from policies.models import Lockable

NAMED: Final = 10
"""So many people are named; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How many people and devices, the first of them by name, and applications."""

    people: int
    devices: int
    applications: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def others(self) -> int:
        """How many people are not named."""
        return self.people - len(self.names)


def effect_of_locking(target: Lockable, kind: str, *, now: datetime) -> Effect:
    """Return what is lost when this is locked now."""
    row = Lock(**{kind: target}, created_at=now)
    return _effect(_value(row), is_lifted=False, now=now)


def effect_of_lifting(lock: Lock, *, now: datetime) -> Effect:
    """Return what comes back when this is lifted now; other locks stay."""
    return _effect(_value(lock), is_lifted=True, now=now)


def _value(row: Lock) -> locks.Lock:
    members = Membership.objects.filter(group=row.group_id or 0)
    return lock_of(row, members.values_list("user_id", flat=True))


def _effect(changed: locks.Lock, *, is_lifted: bool, now: datetime) -> Effect:
    gateways = list(enrolled_gateways())
    rows = load_rows(gateways)
    less, more = [*rows.locks], [*rows.locks, changed]
    if is_lifted:
        more = [*less]
        # One of them: another lock may be on the same target until the same moment.
        less.remove(changed)
    losses = [
        loss(
            without_locked(facts, less, now=now),
            without_locked(facts, more, now=now),
            now=now,
        )
        for facts in map(rows.facts, gateways)
    ]
    return _named(losses)


def _named(losses: Sequence[Loss]) -> Effect:
    people = frozenset[int]().union(*(found.people for found in losses))
    numbers = frozenset[int]().union(*(found.applications for found in losses))
    # Few of them: SQLite limits the parameters of a statement.
    named = User.objects.filter(pk__in=sorted(people)[:NAMED])
    applications = Application.objects.values_list("pk", "name")
    return Effect(
        people=len(people),
        devices=len(frozenset[int]().union(*(found.devices for found in losses))),
        applications=tuple(name for pk, name in applications if pk in numbers),
        names=tuple(map(str, named)),
    )
