"""Policy files in and out: read with the portal's names, tested, exported.

Whatever the file says that cannot be enforced refuses it as a whole; nothing is left
out in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from policies.compiler.types import Destination, SubjectKind
from policies.dialect.bridge import FactsPolicy, Names, from_facts
from policies.dialect.definitions import GrantDefinition, PolicyDefinition, define
from policies.dialect.document import ALWAYS, PolicyDocument
from policies.dialect.errors import PolicyError, Problem, problem
from policies.dialect.export import export
from policies.dialect.reader import Options, read_policy, read_tests
from policies.dialect.resolve import unknown_people
from policies.dialect.validation import check_dates
from policies.dialect.verdicts import TestReport, run_tests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from policies.policy_files.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """A file that could be read: what it says, what it defines, what its tests say."""

    document: PolicyDocument
    definition: PolicyDefinition
    warnings: tuple[Problem, ...]
    reports: tuple[TestReport, ...]

    @property
    def failed(self) -> tuple[TestReport, ...]:
        """The tests that fail."""
        return tuple(report for report in self.reports if report.problems)


def open_policy(source: bytes | str, state: State, *, now: datetime) -> PolicyFile:
    """Read a policy file with the portal's names, and run its tests.

    Raises:
        DialectError: the file is malformed, says what a gateway does not enforce, or
            defines a group that the portal has.
    """
    document = read_policy(source, Options(groups=tuple(state.groups)))
    dated = check_dates(document, now=now)
    _check_groups(document, state)
    definition = define(document, state.directory)
    directory = replace(
        state.directory,
        zones=_zones(document),
        bearers=_bearers(definition, state),
    )
    nobody = tuple(
        problem(document.rules[0].position, f"{login} is nobody here, and gets nothing")
        for login in unknown_people(document, directory)
        if document.rules
    )
    return PolicyFile(
        document=document,
        definition=definition,
        warnings=(*definition.warnings, *dated, *nobody),
        reports=run_tests(document, directory, now=now),
    )


def run_claims(
    claims: bytes | str, policy: str, state: State, *, now: datetime
) -> tuple[TestReport, ...]:
    """Run a list of tests against a policy that has its own or none.

    Raises:
        DialectError: the list is malformed.
    """
    document = read_policy(policy, Options(groups=tuple(state.groups)))
    directory = replace(state.directory, zones=_zones(document))
    return run_tests(replace(document, tests=read_tests(claims)), directory, now=now)


def export_policy(state: State, *, now: datetime, tailscale: bool = False) -> str:
    """Return the portal's policy as a file; access on request is not in it.

    A beginning that is past is not written: the grant has begun.

    Raises:
        DialectError: the other dialect cannot say an application's protocol.
    """
    kept = FactsPolicy(
        applications=state.policy.applications,
        grants=tuple(
            grant
            for grant in state.policy.grants
            if grant.id not in state.requested
            # The other dialect means every port of a tagged machine.
            and (tailscale or grant.id not in state.derived)
        ),
    )
    names = Names(
        users=state.people, groups=state.groups, applications=state.applications
    )
    found = from_facts(kept, names)
    labelled = () if tailscale else tuple(_labelled(state))
    comments = {f"gt_{pk}": reason for pk, reason in state.reasons.items()}
    grants = tuple(
        replace(
            grant,
            not_before=ALWAYS if grant.not_before <= now else grant.not_before,
            comment=comments.get(grant.name, grant.comment),
        )
        for grant in (*found.grants, *labelled)
    )
    return export(replace(found, grants=grants), tailscale=tailscale)


def _labelled(state: State) -> Iterator[GrantDefinition]:
    """Yield the grants of labels, with names."""
    names = {
        SubjectKind.USER: {number: name for name, number in state.people.items()},
        SubjectKind.GROUP: {number: name for name, number in state.groups.items()},
    }
    for grant in state.label_grants:
        yield GrantDefinition(
            name=f"lg_{grant.id}",
            kind=grant.subject.kind,
            subject=names[grant.subject.kind][grant.subject.id],
            application=grant.label,
            not_before=grant.not_before,
            expires_at=grant.expires_at,
            schedule=grant.conditions.schedule,
            requires=grant.conditions.requires,
            comment=grant.reason,
        )


def _bearers(
    definition: PolicyDefinition, state: State
) -> dict[str, tuple[Destination, ...]]:
    """Return where the applications of each label are, as the file would have it."""
    places = {a.id: a.destinations for a in state.policy.applications}
    for application in definition.applications:
        if application.name in state.applications:
            places[state.applications[application.name]] = application.destinations
    return {
        label: tuple(place for number in sorted(numbers) for place in places[number])
        for label, numbers in state.borne.items()
    }


def _check_groups(document: PolicyDocument, state: State) -> None:
    """Refuse a group that would stand for two different sets of people."""
    twice = [
        problem(document.places[name], f"{name} is a group of the identity provider")
        for name in document.groups
        if name in state.groups
    ]
    if twice:
        raise PolicyError(twice)


def _zones(document: PolicyDocument) -> dict[str, ZoneInfo]:
    """Return the time zones that a document names and that exist."""
    found: dict[str, ZoneInfo] = {}
    for rule in document.rules:
        if rule.schedule is not None:
            name = rule.schedule.time_zone
            try:
                found[name] = ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError):
                continue
    return found
