"""From a file and the portal's policy to what would change, and for whom. Pure.

A file is the whole policy. A grant that it does not make ends, unless it answers an
access request; an application that it does not name stays described and is granted to
nobody. Grants are told apart by who, what and when, so that what is there already is
left alone, whatever either side calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from policies.application_terms import check_terms
from policies.brake import are_conditional, at_any_time, braking
from policies.compiler import types
from policies.compiler.compile import compile_snapshot
from policies.compiler.conditions import Hours
from policies.compiler.locks import without_locked
from policies.compiler.strictness import ORDINARY, stricter
from policies.conditions import (
    Conditions,
    conditions_text,
    given_conditions,
    parse_conditions,
    time_zone,
)
from policies.destinations import DestinationInput, parse_destinations
from policies.dialect.bridge import FactsPolicy
from policies.dialect.definitions import EVERY_APPLICATION
from policies.dialect.document import ALWAYS
from policies.effects import Effect, effect, missing
from policies.errors import PolicyError
from policies.policy_files.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from policies.dialect.definitions import (
        ApplicationDefinition,
        GrantDefinition,
        PolicyDefinition,
    )
    from policies.policy_files.state import Labelled, Served, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One subject → one application or label (`tag:NAME`), as a file wants it.

    `not_before` is `ALWAYS` for what begins now or began before.
    """

    application: str
    subject: types.Subject
    not_before: datetime
    expires_at: datetime
    conditions: Conditions

    @property
    def sort_key(self) -> tuple[str, types.Subject, datetime, datetime, str]:
        """A total order: what, who, when, and on what conditions."""
        said = conditions_text(self.conditions)
        return (self.application, self.subject, self.not_before, self.expires_at, said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What applying a file would do. `served_by` are the gateways of what is new.

    `had` and `have` are what each gateway enforces, by id: now, and then. `ever` is
    the effect if every grant were in force, whatever it demands; for the brake alone.
    """

    created: tuple[ApplicationDefinition, ...]
    changed: tuple[ApplicationDefinition, ...]
    granted: tuple[tuple[Wanted, str], ...]
    ended: tuple[types.Grant, ...]
    labels_ended: tuple[Labelled, ...]
    served_by: tuple[int, ...]
    left: tuple[str, ...]
    skipped: tuple[str, ...]
    effect: Effect
    ever: Effect
    had: Mapping[int, types.Snapshot]
    have: Mapping[int, types.Snapshot]
    state: State
    applications: dict[int, str]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (
            self.created
            or self.changed
            or self.granted
            or self.ended
            or self.labels_ended
        )

    def braking(self, *, percent: int) -> Effect | None:
        """Return the effect that is confirmed twice because of its size, if any."""
        return braking(self.effect, self.ever, percent=percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changes:
    """What a plan would do; `missing` is also what nobody can be granted."""

    created: tuple[ApplicationDefinition, ...]
    changed: tuple[ApplicationDefinition, ...]
    granted: tuple[tuple[Wanted, str], ...]
    ended: tuple[types.Grant, ...]
    labels_ended: tuple[Labelled, ...]
    missing: list[Wanted]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        done = (self.created, self.changed, self.granted, self.ended, self.labels_ended)
        return not any(done)


def plan_policy(
    policy: PolicyDefinition,
    state: State,
    *,
    gateways: Collection[str] = (),
    now: datetime,
) -> Plan:
    """Return what a policy would change, and the effect on people.

    Raises:
        PlanError: a grant has a condition that is not enforced or a subject that the
            portal does not know, destinations overlap, an application that somebody
            answers for would become wider, or it is not clear which gateways a new
            application is behind.
    """
    _check(policy, state)
    served_by = _served_by(policy, state, gateways)
    made = _changes(policy, state, now)
    numbers = _numbers(made.created, state)
    after = _after(
        policy,
        state,
        numbers=numbers,
        granted=made.granted,
        gone=_gone(made.ended, made.labels_ended, state),
        now=now,
    )
    had, have = _compiled_all(state, after, served_by, now)
    compared = partial(
        effect, owners={device.id: device.user_id for device in state.devices}
    )
    found = compared([*had.values()], [*have.values()])
    ever = None
    if are_conditional((*state.policy.grants, *after.grants), now=now):
        sides = _compiled_all(
            state, after, served_by, now, seen=partial(at_any_time, now=now)
        )
        ever = [[*side.values()] for side in sides]
    return Plan(
        created=made.created,
        changed=made.changed,
        granted=made.granted,
        ended=made.ended,
        labels_ended=made.labels_ended,
        served_by=served_by,
        left=tuple(_left(policy, state)),
        skipped=tuple(_skipped(made.missing, made.created, served_by, state)),
        effect=found,
        ever=found if ever is None else compared(*ever),
        had=had,
        have=have,
        state=state,
        applications={number: name for name, number in numbers.items()},
    )


def is_applied(policy: PolicyDefinition, state: State, *, now: datetime) -> bool:
    """Return whether applying a policy would change nothing; cheaper than a plan.

    Raises:
        PlanError: it could not be applied at all.
    """
    _check(policy, state)
    made = _changes(policy, state, now)
    return made.is_empty


def grants_of_file(
    policy: PolicyDefinition, state: State, *, now: datetime
) -> frozenset[int]:
    """Return which open grants a policy makes, by id; ended, they would come again.

    Those that carry out the grant of a label are among them if the policy makes that.

    Raises:
        PlanError: it could not be applied at all.
    """
    _check(policy, state)
    made = _changes(policy, state, now)
    gone = {grant.id for grant in made.ended}
    labels = {grant.id for grant in state.label_grants}
    labels -= {grant.id for grant in made.labels_ended}
    own = {grant.id for grant in _managed(state)} - gone
    return frozenset(own | {pk for pk, by in state.derived.items() if by in labels})


def _changes(policy: PolicyDefinition, state: State, now: datetime) -> _Changes:
    """Return the difference between what a policy wants and what there is."""
    wanted = dict(_wanted(policy, state, now))
    names = {number: name for name, number in state.applications.items()}
    there = {_key(grant, names[grant.application_id], now) for grant in _managed(state)}
    there |= {_key(grant, grant.label, now) for grant in state.label_grants}
    missing = sorted(wanted.keys() - there, key=lambda key: key.sort_key)
    stored = {a.id: a for a in state.policy.applications}
    return _Changes(
        created=tuple(
            a for a in policy.applications if a.name not in state.applications
        ),
        changed=tuple(
            a
            for a in policy.applications
            if a.name in state.applications
            and _differs(a, stored[state.applications[a.name]])
        ),
        granted=tuple((key, wanted[key]) for key in missing if _is_able(key, state)),
        ended=tuple(
            grant
            for grant in _managed(state)
            if _key(grant, names[grant.application_id], now) not in wanted
        ),
        labels_ended=tuple(
            grant
            for grant in state.label_grants
            if _key(grant, grant.label, now) not in wanted
        ),
        missing=missing,
    )


def _differs(wanted: ApplicationDefinition, stored: types.Application) -> bool:
    """Return whether a file describes an application otherwise."""
    return wanted.destinations != stored.destinations or (
        wanted.terms is not None and wanted.terms != stored.strictness
    )


def _check(policy: PolicyDefinition, state: State) -> None:
    """Refuse what could only be applied by leaving something out."""
    local = {group.name for group in policy.groups}
    problems = [
        f"{grant.name}: {reason}"
        for grant in policy.grants
        for reason in _unable(grant, local, state)
    ]
    if problems:
        raise PlanError("\n".join(problems))
    for application in policy.applications:
        try:
            parse_destinations(inputs(application))
            check_terms(application.terms or ORDINARY)
        except PolicyError as exc:
            msg = f"{application.name}: {exc}"
            raise PlanError(msg) from exc
    if widened := [text for a in policy.applications for text in _widened(a, state)]:
        raise PlanError("\n".join(widened))


def _widened(application: ApplicationDefinition, state: State) -> Iterator[str]:
    """Yield what a file would add to what somebody else answers for.

    They approved requests for what was described then; a file makes that narrower, but
    only the application's own page makes it wider (attack C08).
    """
    number = state.applications.get(application.name, 0)
    if number not in state.answered:
        return
    stored = next(a for a in state.policy.applications if a.id == number)
    described = frozenset(stored.destinations)
    terms = application.terms or stored.strictness
    if stricter(terms, stored.strictness) != terms:
        yield (
            f"{application.name}: {state.answered[number]} answers for it, so no file"
            " makes its terms less strict; change them on its page"
        )
    for destination in application.destinations:
        if added := missing(destination, described):
            yield (
                f"{application.name}: {state.answered[number]} answers for it, so no"
                f" file adds {added}; describe it on its page"
            )


def _unable(
    grant: GrantDefinition, local: Collection[str], state: State
) -> Iterator[str]:
    """Yield why a grant cannot be made as it is written."""
    conditions = {
        "srcPosture": bool(grant.postures),
        "via": bool(grant.sites),
    }
    yield from (f"{what} is not enforced" for what, has in conditions.items() if has)
    try:
        parse_conditions(given_conditions(_conditions(grant)))
    except PolicyError as exc:
        yield str(exc)
    is_group = grant.kind is types.SubjectKind.GROUP
    if is_group and grant.subject not in local and grant.subject not in state.groups:
        yield f"{grant.subject} is no group of the portal"


def _served_by(
    policy: PolicyDefinition, state: State, gateways: Collection[str]
) -> tuple[int, ...]:
    """Return the gateways that new applications are behind."""
    found = {gateway.name: gateway.id for gateway in state.gateways}
    if unknown := sorted(set(gateways) - found.keys()):
        msg = f"no enrolled gateway is called {', '.join(unknown)}"
        raise PlanError(msg)
    if gateways:
        return tuple(sorted(found[name] for name in gateways))
    has_new = any(a.name not in state.applications for a in policy.applications)
    if has_new and len(found) > 1:
        msg = f"say which gateway serves what is new: {', '.join(sorted(found))}"
        raise PlanError(msg)
    return tuple(found.values())


def _wanted(
    policy: PolicyDefinition, state: State, now: datetime
) -> Iterator[tuple[Wanted, str]]:
    """Yield every single grant that a policy makes, with its comment."""
    members = {group.name: group.members for group in policy.groups}
    every = sorted({*state.applications, *(a.name for a in policy.applications)})
    for grant in policy.grants:
        if grant.expires_at <= now:
            continue
        is_every = grant.application == EVERY_APPLICATION
        for application in every if is_every else [grant.application]:
            for subject in _subjects(grant, members, state):
                key = Wanted(
                    application=application,
                    subject=subject,
                    not_before=ALWAYS if grant.not_before <= now else grant.not_before,
                    expires_at=grant.expires_at,
                    conditions=_conditions(grant),
                )
                yield key, grant.comment


def _subjects(
    grant: GrantDefinition, members: dict[str, tuple[str, ...]], state: State
) -> Iterator[types.Subject]:
    """Yield who a grant is for: a group of the portal, or people one by one."""
    if grant.kind is types.SubjectKind.GROUP and grant.subject in state.groups:
        yield types.Subject(kind=grant.kind, id=state.groups[grant.subject])
        return
    for login in members.get(grant.subject, (grant.subject,)):
        if login in state.people:
            number = state.people[login]
            yield types.Subject(kind=types.SubjectKind.USER, id=number)


def _managed(state: State) -> Iterator[types.Grant]:
    """Yield the grants of applications that a file may end.

    What carries out the grant of a label ends with that.
    """
    for grant in state.policy.grants:
        if grant.id not in state.requested and grant.id not in state.derived:
            yield grant


def _gone(
    ended: Iterable[types.Grant], labels_ended: Iterable[Labelled], state: State
) -> frozenset[int]:
    """Return the grants that end, by id, also those that labels gave."""
    sources = {grant.id for grant in labels_ended}
    return frozenset(
        {grant.id for grant in ended}
        | {number for number, source in state.derived.items() if source in sources}
    )


def _key(grant: types.Grant | Labelled, application: str, now: datetime) -> Wanted:
    """Return what a grant of the portal is compared by."""
    return Wanted(
        application=application,
        subject=grant.subject,
        not_before=ALWAYS if grant.not_before <= now else grant.not_before,
        expires_at=grant.expires_at,
        conditions=(
            _conditions_of(grant)
            if isinstance(grant, types.Grant)
            else grant.conditions
        ),
    )


def _conditions(grant: GrantDefinition) -> Conditions:
    """Return what a grant of a file demands beside its time."""
    return Conditions(schedule=grant.schedule, requires=grant.requires)


def _conditions_of(grant: types.Grant) -> Conditions:
    """Return what a grant of the portal demands beside its time."""
    schedule = grant.hours.schedule if grant.hours else None
    return Conditions(schedule=schedule, requires=grant.requires)


def _hours(conditions: Conditions) -> Hours | None:
    """Return hours with the clocks they go by."""
    if conditions.schedule is None:
        return None
    zone = time_zone(conditions.schedule.time_zone)
    return Hours(schedule=conditions.schedule, zone=zone)


def _is_able(wanted: Wanted, state: State) -> bool:
    """Return whether somebody may be granted anything."""
    is_user = wanted.subject.kind is types.SubjectKind.USER
    return not (is_user and wanted.subject.id in state.disabled)


def _skipped(
    missing: list[Wanted],
    created: tuple[ApplicationDefinition, ...],
    served_by: tuple[int, ...],
    state: State,
) -> Iterator[str]:
    """Yield what a file wants and does not get: no gateway, a disabled person."""
    if created and not served_by:
        yield "no gateway is enrolled: what is new is behind none"
    logins = {number: login for login, number in state.people.items()}
    for wanted in missing:
        if not _is_able(wanted, state):
            yield f"{logins[wanted.subject.id]} is disabled: no {wanted.application}"


def _left(policy: PolicyDefinition, state: State) -> Iterator[str]:
    """Yield what a file has no say in."""
    named = {application.name for application in policy.applications}
    for name in sorted(state.applications.keys() - named):
        yield f"application {name} is not in the file: it stays described"
    for number in sorted(state.requested):
        yield f"grant gt_{number} answers an access request: it stays"


def _numbers(
    created: tuple[ApplicationDefinition, ...], state: State
) -> dict[str, int]:
    """Return the ids of all applications; those of new ones are provisional."""
    free = max(state.applications.values(), default=0) + 1
    new = {a.name: free + index for index, a in enumerate(created)}
    return {**state.applications, **new}


def _after(
    policy: PolicyDefinition,
    state: State,
    *,
    numbers: dict[str, int],
    granted: tuple[tuple[Wanted, str], ...],
    gone: frozenset[int],
    now: datetime,
) -> FactsPolicy:
    """Return the portal's policy as it would be."""
    described = {a.id: a for a in state.policy.applications}
    for wanted in policy.applications:
        number = numbers[wanted.name]
        stored = described.get(number)
        described[number] = types.Application(
            id=number,
            destinations=wanted.destinations,
            strictness=wanted.terms or (stored.strictness if stored else ORDINARY),
        )
    free = max((grant.id for grant in state.policy.grants), default=0) + 1
    return FactsPolicy(
        applications=tuple(found for _, found in sorted(described.items())),
        grants=(
            *(grant for grant in state.policy.grants if grant.id not in gone),
            *(
                types.Grant(
                    id=free + index,
                    subject=wanted.subject,
                    application_id=number,
                    not_before=max(wanted.not_before, now),
                    expires_at=wanted.expires_at,
                    hours=_hours(wanted.conditions),
                    requires=wanted.conditions.requires,
                )
                for index, (wanted, number) in enumerate(
                    (wanted, number)
                    for wanted, _ in granted
                    for number in _reached(wanted, numbers, state)
                )
            ),
        ),
    )


def _reached(wanted: Wanted, numbers: dict[str, int], state: State) -> Collection[int]:
    """Return the applications that a grant gives: one, or all that bear a label."""
    if wanted.application in state.borne:
        return sorted(state.borne[wanted.application])
    return (numbers[wanted.application],)


def _compiled_all(
    state: State,
    after: FactsPolicy,
    served_by: tuple[int, ...],
    now: datetime,
    *,
    seen: Callable[[types.Facts], types.Facts] = lambda facts: facts,
) -> tuple[Mapping[int, types.Snapshot], Mapping[int, types.Snapshot]]:
    """Return what each gateway enforces now, and what it would then.

    `seen` may change what is compiled.
    """
    new = frozenset(a.id for a in after.applications) - {*state.applications.values()}
    return {
        g.id: _compiled(state, g, state.policy, g.applications, now, seen=seen)
        for g in state.gateways
    }, {
        g.id: _compiled(
            state,
            g,
            after,
            g.applications | (new if g.id in served_by else frozenset()),
            now,
            seen=seen,
        )
        for g in state.gateways
    }


def _compiled(
    state: State,
    gateway: Served,
    policy: FactsPolicy,
    served: frozenset[int],
    now: datetime,
    *,
    seen: Callable[[types.Facts], types.Facts],
) -> types.Snapshot:
    """Return what one gateway would enforce by a policy."""
    facts = replace(
        gateway.facts,
        devices=state.devices,
        authentications=state.proofs,
        memberships=state.memberships,
        applications=tuple(a for a in policy.applications if a.id in served),
        grants=tuple(g for g in policy.grants if g.application_id in served),
    )
    facts = without_locked(facts, state.locks, now=now)
    return compile_snapshot(seen(facts), epoch=1, generation=1, now=now)


def inputs(application: ApplicationDefinition) -> list[DestinationInput]:
    """Return the destinations of an application as its services take them."""
    return [
        DestinationInput(
            host=destination.host,
            prefix=str(destination.prefix),
            protocol=destination.protocol.value,
            port_first=destination.ports.first if destination.ports else None,
            port_last=destination.ports.last if destination.ports else None,
        )
        for destination in application.destinations
    ]
