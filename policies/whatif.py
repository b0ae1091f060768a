"""What a change of policy would do, found out by doing it and taking it back.

The change runs through its real service, so whatever it is, what is told is what
would happen. Rules this module keeps:

* Nothing of it stays: no row, no event, no notice to a gateway. A refusal stays a
  refusal: it is raised, and its event is kept when the change was asked for.
* What is tried is compiled after everything was taken back, so that no revocation and
  no gateway's publishing waits for it.
* `carry_out` keeps a change only if what it does is what was confirmed. It is judged
  before it is made; nothing that happens in between goes unnoticed.
* A gateway whose policy does not compile, before or after, is named and left out; as
  nobody can say what is lost there, the brake holds.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, cast

from django.conf import settings
from django.db import transaction

from audit.events import EventCode, Outcome
from audit.services import Json, record
from policies.application_terms import terms_text
from policies.brake import are_conditional, at_any_time, braking
from policies.compiler.compile import compile_snapshot
from policies.compiler.errors import CompilerError
from policies.compiler.locks import without_locked
from policies.cuts import Snapshots, connections_cut, losing_devices
from policies.effects import Effect, effect
from policies.errors import PolicyError
from policies.facts import Rows, grant_of
from policies.trials import REFUSALS, Read, read, rehearsal, tried, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from audit.actor import Actor
    from audit.models import Connection
    from policies.compiler.types import Facts, Snapshot

SEPARATORS: Final = (",", ":")
PATIENT_ATTEMPTS: Final = 3
"""Overtaken more often, a change is judged in its own transaction."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a change would do: to people, and to the connections they have open.

    `devices` are those that lose something at a gateway, and `gaining` those that gain,
    by id: their owners may have it on another, or by another gateway. `applications`
    are the names by id, also of what the change would make. `broken` are the gateways
    whose policy does not compile, with the reason. `terms` are the applications whose
    own terms change, with how they are said before and after: nobody gains or loses by
    that while everything works. `ever` is the effect if every grant
    were in force, whatever it demands; for the brake alone.
    """

    effect: Effect
    ever: Effect
    devices: frozenset[int]
    gaining: frozenset[int]
    cut: tuple[Connection, ...]
    applications: Mapping[int, str]
    broken: tuple[tuple[str, str], ...]
    terms: tuple[tuple[str, str, str], ...] = ()

    @property
    def digest(self) -> str:
        """What it says of people, in short: the same as long as that is the same.

        Ids of what a change makes differ each time it is tried; names do not. The
        connections that are open come and go, and are not part of it.
        """
        rows = [
            [
                row.kind.value,
                self.applications[row.application_id],
                [*row.destinations],
                [*row.parts],
                [*row.people],
            ]
            for row in self.effect.rows
        ]
        devices = [sorted(self.devices), sorted(self.gaining)]
        brake = [self.is_braked, sorted(self.ever.losers)]
        said = [sorted(rows), devices, [*self.broken], brake]
        if self.terms:
            said.append([*self.terms])
        text = json.dumps(said, separators=SEPARATORS)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def is_braked(self) -> bool:
        """Whether it is confirmed twice: many lose something, or nobody can say."""
        return bool(self.broken) or self.braking is not None

    @property
    def braking(self) -> Effect | None:
        """The effect that is confirmed twice because of its size, if any."""
        percent = settings.PEERAGE_POLICY_BRAKE_PERCENT
        return braking(self.effect, self.ever, percent=percent)


def _is_good(found: Outlook, *, digest: str | None, is_confirmed: bool) -> bool:
    """Return whether it is what was confirmed, and twice where that is needed."""
    return digest in {None, found.digest} and (is_confirmed or not found.is_braked)


class UnconfirmedError(PolicyError):
    """A change is taken back: what it did is not what was confirmed, or not twice."""

    def __init__(self, found: Outlook, *, is_stale: bool) -> None:
        """Keep what it would do now; `is_stale` if that is not what was confirmed."""
        large = found.braking or found.effect
        losing, holding = len(large.losers), len(large.holders)
        super().__init__(
            "something else changed meanwhile, and so did what this would do"
            if is_stale
            else f"{losing} of {holding} people with access would lose something, more"
            f" than {settings.PEERAGE_POLICY_BRAKE_PERCENT} %; that was not confirmed"
        )
        self.outlook = found
        self.is_stale = is_stale


def outlook(
    change: Callable[[], object], *, is_asked: bool = True, now: datetime
) -> Outlook:
    """Return what a change would do to people and their connections now.

    Unless it `is_asked` for, a refusal leaves no event: somebody only looked.

    Raises:
        PolicyError, PeerError: the service refuses the change.
    """
    seen = tried(change, is_asked=is_asked)
    return _outlook(seen.before, seen.after, now=now)


def carry_out(
    change: Callable[[], Result],
    *,
    title: str,
    digest: str | None,
    is_confirmed: bool,
    actor: Actor,
    now: datetime,
) -> Result:
    """Make a change whose outlook was shown; `digest` says which one that was.

    A program that looked at none has no digest, and is held by the brake alone.
    Above the brake it `is_confirmed` that many people lose something, and `title` is
    what the log calls the change then. It is tried first, and judged while nothing is
    locked; then it is made, if nobody changed a policy meanwhile. Where somebody does
    all the time, it is judged in its own transaction at last.

    Raises:
        UnconfirmedError: it was not, or the outlook is another one. Nothing changes.
        PolicyError, PeerError: the service refuses the change.
    """
    is_good = partial(_is_good, digest=digest, is_confirmed=is_confirmed)
    tell = partial(_record, title=title, actor=actor, now=now)
    for is_last in (*[False] * PATIENT_ATTEMPTS, True):
        seen = tried(change)
        found = _outlook(seen.before, seen.after, now=now)
        if not is_good(found):
            break
        with transaction.atomic():
            began, before = versions(), read() if is_last else None
            made, refusal = _made(rehearsal(change))
            if refusal is None and seen.versions != (began, versions()):
                # Somebody changed a policy meanwhile.
                if before is None:
                    transaction.set_rollback(True)
                    continue
                found = _outlook(before, read(), now=now)
                if not is_good(found):
                    transaction.set_rollback(True)
                    break
            if refusal is None and found.is_braked:
                tell(found, outcome=Outcome.DONE)
        if refusal is not None:
            raise refusal
        return cast("Result", made)
    is_stale = digest not in {None, found.digest}
    if not is_stale:
        tell(found, outcome=Outcome.REFUSED)
    raise UnconfirmedError(found, is_stale=is_stale)


def _made(change: Callable[[], Result]) -> tuple[Result | None, Exception | None]:
    """Return what a change made, or why its service refuses it."""
    try:
        return change(), None
    except REFUSALS as exc:
        # The event that says so is kept.
        return None, exc


def _outlook(before: Read, after: Read, *, now: datetime) -> Outlook:
    broken: dict[str, str] = {}
    had = _compiled(before, broken, now)
    have = _compiled(after, broken, now)
    grants = [row for r in (before, after) for g in r.rows.grants.values() for row in g]
    ever = partial(at_any_time, now=now)
    # Without conditions both are the same, and the one costs no less than the other.
    has_more = are_conditional(map(grant_of, grants), now=now)
    had_ever = _compiled(before, broken, now, seen=ever) if has_more else had
    have_ever = _compiled(after, broken, now, seen=ever) if has_more else have
    unknown = {
        gateway.pk
        for read in (before, after)
        for gateway in read.gateways
        if gateway.name in broken
    }
    had, have, had_ever, have_ever = (
        {number: found for number, found in some.items() if number not in unknown}
        for some in (had, have, had_ever, have_ever)
    )
    devices, cut = connections_cut(had, have, now=now)
    owners = _owners(before.rows) | _owners(after.rows)
    compared = partial(effect, owners=owners)
    return Outlook(
        effect=compared([*had.values()], [*have.values()]),
        ever=compared([*had_ever.values()], [*have_ever.values()]),
        devices=devices,
        gaining=_gaining(had, have),
        cut=cut,
        applications={**before.applications, **after.applications},
        broken=tuple(sorted(broken.items())),
        terms=_terms(before, after),
    )


def _terms(before: Read, after: Read) -> tuple[tuple[str, str, str], ...]:
    """Return whose terms change, by name, with the words for both."""
    was, will = before.rows.terms, after.rows.terms
    return tuple(
        (after.applications[number], terms_text(was[number]), terms_text(will[number]))
        for number in sorted(was.keys() & will.keys())
        if was[number] != will[number]
    )


def _compiled(
    read: Read,
    broken: dict[str, str],
    now: datetime,
    *,
    seen: Callable[[Facts], Facts] = lambda facts: facts,
) -> Snapshots:
    """Return what each gateway would enforce; add those that do not compile.

    `seen` may change what is compiled.
    """
    found: dict[int, Snapshot] = {}
    for gateway in read.gateways:
        try:
            facts = without_locked(read.rows.facts(gateway), read.rows.locks, now=now)
            found[gateway.pk] = compile_snapshot(
                seen(facts), epoch=1, generation=1, now=now
            )
        except CompilerError as exc:
            broken[gateway.name] = str(exc)
    return found


def _owners(rows: Rows) -> dict[int, int]:
    """Return whose each device is."""
    return {device.id: user for user, owned in rows.devices.items() for device in owned}


def _gaining(had: Snapshots, have: Snapshots) -> frozenset[int]:
    """Return the devices that reach more through a gateway."""
    return frozenset[int]().union(
        *(
            losing_devices(after, had.get(number))
            for number, after in have.items()
            if after != had.get(number)
        )
    )


def _record(
    found: Outlook, title: str, outcome: Outcome, actor: Actor, now: datetime
) -> None:
    large = found.braking or found.effect
    details: dict[str, Json] = {
        "change": title,
        "people_losing": len(large.losers),
        "people_with_access": len(large.holders),
        "percent": settings.PEERAGE_POLICY_BRAKE_PERCENT,
        "connections_cut": len(found.cut),
        "effect": found.digest,
    }
    record(
        EventCode.BRAKE_CONFIRM,
        actor=actor,
        now=now,
        outcome=outcome,
        reason="" if outcome is Outcome.DONE else "it was not confirmed",
        details=details,
    )
