"""Policy files in and out: read with the portal's names, tested, exported.

Whatever the file says that cannot be enforced refuses it as a whole; nothing is left
out in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from policies.dialect.bridge import FactsPolicy, Names, from_facts
from policies.dialect.definitions import PolicyDefinition, define
from policies.dialect.document import ALWAYS, PolicyDocument
from policies.dialect.errors import PolicyError, Problem, problem
from policies.dialect.export import export
from policies.dialect.reader import Options, read_policy
from policies.dialect.resolve import unknown_people
from policies.dialect.validation import check_dates
from policies.dialect.verdicts import TestReport, run_tests

if TYPE_CHECKING:
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
    directory = replace(state.directory, zones=_zones(document))
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


def export_policy(state: State, *, now: datetime, tailscale: bool = False) -> str:
    """Return the portal's policy as a file; access on request is not in it.

    A beginning that is past is not written: the grant has begun.

    Raises:
        DialectError: the other dialect cannot say an application's protocol.
    """
    kept = FactsPolicy(
        applications=state.policy.applications,
        grants=tuple(g for g in state.policy.grants if g.id not in state.requested),
    )
    names = Names(
        users=state.people, groups=state.groups, applications=state.applications
    )
    found = from_facts(kept, names)
    comments = {f"gt_{pk}": reason for pk, reason in state.reasons.items()}
    grants = tuple(
        replace(
            grant,
            not_before=ALWAYS if grant.not_before <= now else grant.not_before,
            comment=comments.get(grant.name, ""),
        )
        for grant in found.grants
    )
    return export(replace(found, grants=grants), tailscale=tailscale)


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
