"""Between definitions (names) and the compiler's facts (ids).

What the compiler cannot enforce is refused here, never left out: a grant without
its condition would allow more than the file says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final

from policies.compiler.conditions import Hours
from policies.compiler.strictness import ORDINARY
from policies.compiler.types import Application, Grant, Subject, SubjectKind
from policies.dialect.definitions import (
    EVERY_APPLICATION,
    ApplicationDefinition,
    GrantDefinition,
    GroupDefinition,
    PolicyDefinition,
)
from policies.dialect.errors import DialectError, UnknownNameError

_GRANT_ID: Final = re.compile(r"gt_([1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the portal calls things: names as a policy writes them → ids.

    `groups` also hold what else names a set of people: `autogroup:member`, roles,
    `tag:ci` (a group of service devices). `grants` are the names of grants whose name
    is not their machine id. `zones` are the clocks that schedules may name.
    """

    users: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)
    applications: Mapping[str, int] = field(default_factory=dict)
    grants: Mapping[str, int] = field(default_factory=dict)
    zones: Mapping[str, tzinfo] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsPolicy:
    """The policy part of the compiler's `Facts`, by id."""

    applications: tuple[Application, ...]
    grants: tuple[Grant, ...]


def to_facts(policy: PolicyDefinition, names: Names) -> FactsPolicy:
    """Return the compiler's applications and grants for a policy.

    A grant of every application becomes one grant for each; their ids are those of
    `names.grants` for `<grant>#<application>`.

    Raises:
        UnknownNameError: a user, group, application or grant has no id.
        DialectError: a grant has a condition that the compiler does not enforce.
    """
    if missing := unknown_names(policy, names):
        msg = f"unknown: {', '.join(missing)}"
        raise UnknownNameError(msg)
    applications = (
        Application(
            id=names.applications[application.name],
            destinations=application.destinations,
            strictness=application.terms or ORDINARY,
        )
        for application in policy.applications
    )
    grants = (
        _fact(grant, application, name, names)
        for name, grant, application in _single(policy)
    )
    return FactsPolicy(
        applications=tuple(sorted(applications, key=lambda a: a.id)),
        grants=tuple(sorted(grants, key=lambda g: g.id)),
    )


def unknown_names(policy: PolicyDefinition, names: Names) -> tuple[str, ...]:
    """Return what a policy names that has no id yet, in order, each once."""
    missing = {
        application.name
        for application in policy.applications
        if application.name not in names.applications
    }
    for name, grant, _ in _single(policy):
        known = names.users if grant.kind is SubjectKind.USER else names.groups
        if grant.subject not in known:
            missing.add(grant.subject)
        if _grant_id(name, names) is None:
            missing.add(name)
    return tuple(sorted(missing))


def from_facts(
    facts: FactsPolicy, names: Names, groups: Mapping[str, Iterable[str]] | None = None
) -> PolicyDefinition:
    """Return facts as a policy with names; `groups` are the members of local groups.

    Raises:
        UnknownNameError: an id has no name.
    """
    applications = _inverse("ap", names.applications)
    subjects = {
        SubjectKind.USER: _inverse("us", names.users),
        SubjectKind.GROUP: _inverse("gr", names.groups),
    }
    grants = {number: name for name, number in names.grants.items()}
    return PolicyDefinition(
        groups=tuple(
            GroupDefinition(name=name, members=tuple(sorted(set(members))))
            for name, members in sorted((groups or {}).items())
        ),
        applications=tuple(
            ApplicationDefinition(
                name=applications(application.id),
                destinations=tuple(
                    sorted(set(application.destinations), key=lambda d: d.sort_key)
                ),
                terms=None
                if application.strictness == ORDINARY
                else application.strictness,
            )
            for application in sorted(
                facts.applications, key=lambda a: applications(a.id)
            )
        ),
        grants=tuple(
            sorted(
                (
                    GrantDefinition(
                        name=grants.get(grant.id, f"gt_{grant.id}"),
                        kind=grant.subject.kind,
                        subject=subjects[grant.subject.kind](grant.subject.id),
                        application=applications(grant.application_id),
                        not_before=grant.not_before,
                        expires_at=grant.expires_at,
                        schedule=grant.hours.schedule if grant.hours else None,
                        requires=grant.requires,
                    )
                    for grant in facts.grants
                ),
                key=lambda grant: grant.name,
            )
        ),
    )


def _single(
    policy: PolicyDefinition,
) -> Iterable[tuple[str, GrantDefinition, str]]:
    """Yield the name, the grant and the application of every single grant."""
    for grant in policy.grants:
        if grant.application != EVERY_APPLICATION:
            yield grant.name, grant, grant.application
        else:
            for application in policy.applications:
                yield f"{grant.name}#{application.name}", grant, application.name


def _grant_id(name: str, names: Names) -> int | None:
    """Return the id of a grant: what the portal says, or what its name says."""
    found = _GRANT_ID.fullmatch(name)
    return names.grants.get(name, int(found[1]) if found else None)


def _fact(grant: GrantDefinition, application: str, name: str, names: Names) -> Grant:
    """Return one grant as the compiler takes it."""
    conditions = {
        "srcPosture": bool(grant.postures),
        "via": bool(grant.sites),
    }
    if refused := [what for what, is_there in conditions.items() if is_there]:
        msg = f"{grant.name}: {', '.join(refused)} cannot be compiled"
        raise DialectError(msg)
    known = names.users if grant.kind is SubjectKind.USER else names.groups
    return Grant(
        id=names.grants.get(name) or int(name.removeprefix("gt_")),
        subject=Subject(kind=grant.kind, id=known[grant.subject]),
        application_id=names.applications[application],
        not_before=grant.not_before,
        expires_at=grant.expires_at,
        hours=_hours(grant, names),
        requires=grant.requires,
    )


def _hours(grant: GrantDefinition, names: Names) -> Hours | None:
    """Return the hours of a grant, with the clocks they go by."""
    if grant.schedule is None:
        return None
    zone = names.zones.get(grant.schedule.time_zone)
    if zone is None:
        msg = f"{grant.name}: unknown time zone {grant.schedule.time_zone!r}"
        raise UnknownNameError(msg)
    return Hours(schedule=grant.schedule, zone=zone)


def _inverse(prefix: str, names: Mapping[str, int]) -> Callable[[int], str]:
    """Return the way from ids to names; an id without one is an error."""
    found = {number: name for name, number in names.items()}

    def name(number: int) -> str:
        """Return the name of an id."""
        if number not in found:
            msg = f"{prefix}_{number} has no name"
            raise UnknownNameError(msg)
        return found[number]

    return name
