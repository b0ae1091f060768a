"""Policy tests: what a file claims about itself, tried against what it resolves to.

A test names one source and destinations of one host and one port each. `accept` holds
when every address of the source reaches every address of the destination, of the same
family; `deny` when none reaches any. Without `proto` a test is about TCP or UDP. `at`
asks about a moment, `srcPostureAttrs` supposes attributes. Anything a test names that
does not exist fails it: a claim about nobody proves nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final, TypeAlias

from policies.compiler.ranges import FAMILIES, Family, Range, address_of, merged
from policies.compiler.ranges import without as minus
from policies.compiler.regions import TCP, UDP
from policies.dialect import selectors
from policies.dialect.addresses import AddressSet
from policies.dialect.directory import Directory
from policies.dialect.document import (
    Claim,
    PolicyDocument,
    PolicyTest,
    Selector,
    SelectorKind,
)
from policies.dialect.errors import DialectError, Problem, problem
from policies.dialect.extent import check_trials
from policies.dialect.resolve import Reach, ResolvedRule, Resolver

_Supposed: TypeAlias = tuple[datetime, str]
"""A moment, and in words the attributes that every device is supposed to have."""

FAILED: Final = "test(s) failed"
"""What the reference service answers, whatever failed."""

_WORDS: Final = {True: ("accept", "denied"), False: ("deny", "allowed")}
"""What a claim is called, and what contradicts it."""

_ABSTRACT: Final = frozenset(
    {
        SelectorKind.EVERYTHING,
        SelectorKind.USER,
        SelectorKind.DOMAIN,
        SelectorKind.GROUP,
        SelectorKind.ROLE,
        SelectorKind.IPSET,
    }
)
"""Destinations that are not one host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """What became of one test; no problems means that it passed."""

    __test__ = False

    test: PolicyTest
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Door:
    """A destination, port and protocols that a test asks about."""

    text: str
    addresses: AddressSet
    port: int
    protocols: frozenset[int]

    def is_opened_by(self, reach: Reach) -> bool:
        """Return whether a reach covers the port, wherever it leads."""
        first, last = reach.service.ports
        return first <= self.port <= last and not self.protocols.isdisjoint(
            reach.service.protocols
        )


def run_tests(
    document: PolicyDocument, directory: Directory, *, now: datetime
) -> tuple[TestReport, ...]:
    """Return a report on each test of a policy, in the order of the file.

    Raises:
        SyntaxRefusedError: there are too many for its rules.
        UnknownNameError: a schedule names a time zone that the directory lacks.
    """
    check_trials(document, document.tests)
    trial = _Trial(document, directory)
    return tuple(
        TestReport(test=test, problems=tuple(_problems(trial, test, now)))
        for test in document.tests
    )


class _Trial:
    """What all tests of a policy are tried on; worked out once, not for each."""

    def __init__(self, document: PolicyDocument, directory: Directory) -> None:
        """Index the policy."""
        self.document = document
        self.resolver = Resolver(document, directory)
        self.known: Mapping[SelectorKind, Collection[str]] = {
            SelectorKind.USER: {person.login for person in directory.people},
            SelectorKind.GROUP: {*document.groups, *directory.groups},
            SelectorKind.TAG: document.tag_owners,
            SelectorKind.HOST: document.hosts,
            SelectorKind.IPSET: document.ipsets,
            SelectorKind.ROLE: selectors.ROLES | {selectors.TAGGED},
        }
        self._rules: dict[_Supposed, tuple[ResolvedRule, ...]] = {}

    def rules(self, test: PolicyTest, now: datetime) -> tuple[ResolvedRule, ...]:
        """Return what each rule lets through at the moment of a test."""
        at = test.at or now
        # As text: 1 and true are equal, and not the same.
        key = (at, repr(sorted(test.attributes.items())))
        if key not in self._rules:
            # Tests of one moment mostly stand together; more is not held.
            self._rules = {
                key: self.resolver.rules(at=at, supposed=dict(test.attributes))
            }
        return self._rules[key]


def _problems(trial: _Trial, test: PolicyTest, now: datetime) -> Iterator[Problem]:
    """Yield what fails in one test."""
    if not test.accept and not test.deny:
        yield problem(test.position, "a test needs accept or deny")
    try:
        source = _source(trial, test.source)
        protocols = _protocols(test.protocol)
    except DialectError as exc:
        yield problem(test.position, str(exc))
        return
    rules = trial.rules(test, now)
    for claims, is_accept in ((test.accept, True), (test.deny, False)):
        for claim in claims:
            try:
                door = _door(trial, claim, protocols)
            except DialectError as exc:
                yield problem(claim.position, str(exc))
                continue
            text = _judge(rules, test.source, source, door, is_accept=is_accept)
            if text:
                yield problem(claim.position, text)


def _source(trial: _Trial, text: str) -> AddressSet:
    """Return the addresses of a test's source."""
    if not text:
        msg = "a test needs a src"
        raise DialectError(msg)
    found = selectors.selector(text)
    if found.kind in {SelectorKind.EVERYTHING, SelectorKind.DOMAIN}:
        msg = f"src {text!r} is not one user, group, tag, host or address"
        raise DialectError(msg)
    _check_exists(trial, "src", found)
    addresses = trial.resolver.source(found)
    if not addresses:
        msg = f"src {text!r} has no address"
        raise DialectError(msg)
    return addresses


def _check_exists(trial: _Trial, side: str, found: Selector) -> None:
    """Refuse a name that stands for nothing."""
    if found.kind is SelectorKind.PREFIX:
        return
    if found.text not in trial.known[found.kind]:
        msg = f"{side} {found.text!r} does not exist"
        raise DialectError(msg)


def _protocols(text: str) -> frozenset[int]:
    """Return the protocols of a test; only those with ports can be tested."""
    if not text:
        return frozenset({TCP, UDP})
    numbers = frozenset(selectors.protocol_numbers(text))
    if not numbers <= selectors.PORTED:
        msg = f"proto {text!r} has no ports to test"
        raise DialectError(msg)
    return numbers


def _door(trial: _Trial, claim: Claim, protocols: frozenset[int]) -> _Door:
    """Return the one host and port that a claim is about."""
    host, ports = selectors.split_ports(claim.text)
    ((first, last), *more) = selectors.port_ranges(ports)
    if more or first != last:
        msg = f"{claim.text!r}: a test asks about one port"
        raise DialectError(msg)
    found = selectors.selector(host)
    hosts = trial.document.hosts
    is_one = "/" not in host and found.kind not in _ABSTRACT
    if is_one and found.kind is SelectorKind.HOST and host in hosts:
        is_one = hosts[host].num_addresses == 1
    if not is_one:
        msg = f"{claim.text!r}: a test asks about one host"
        raise DialectError(msg)
    _check_exists(trial, "dst", found)
    addresses = trial.resolver.destination(found)
    if not addresses:
        msg = f"dst {host!r} has no address"
        raise DialectError(msg)
    return _Door(claim.text, addresses, first, protocols)


def _judge(
    rules: Iterable[ResolvedRule],
    name: str,
    source: AddressSet,
    door: _Door,
    *,
    is_accept: bool,
) -> str:
    """Return what contradicts a claim, or nothing."""
    listed = tuple(rules)
    shared = [f for f in FAMILIES if source.of(f) and door.addresses.of(f)]
    if not shared:
        return f"{name} and {door.text} share no address family"
    for family in shared:
        for piece, allowed in _pieces(listed, door, family):
            spans = source.of(family)
            blocked = tuple(left for s in spans for left in minus(s, allowed))
            wrong = blocked
            if not is_accept:
                wrong = tuple(left for s in spans for left in minus(s, blocked))
            if wrong:
                claim, verdict = _WORDS[is_accept]
                who = f"{address_of(family, wrong[0][0])}"
                where = f"{address_of(family, piece[0])} port {door.port}"
                return (
                    f"{claim} {door.text!r}: {who} to {where} is {verdict};"
                    f" {_nearest(listed, source, door)}"
                )
    return ""


def _pieces(
    rules: Iterable[ResolvedRule], door: _Door, family: Family
) -> Iterator[tuple[Range, tuple[Range, ...]]]:
    """Yield the destinations of a door, cut so that each has one set of sources."""
    opened = [
        (reach.addresses, found.sources.of(family))
        for found in rules
        for reach in found.reaches
        if reach.family == family and door.is_opened_by(reach)
    ]
    for first, last in door.addresses.of(family):
        edges = {first, last + 1}
        for (begin, end), _ in opened:
            edges |= {edge for edge in (begin, end + 1) if first < edge <= last}
        for begin, after in pairwise(sorted(edges)):
            allowed = (s for a, s in opened if a[0] <= begin and after - 1 <= a[1])
            yield (
                (begin, after - 1),
                merged(span for spans in allowed for span in spans),
            )


def _nearest(rules: Iterable[ResolvedRule], source: AddressSet, door: _Door) -> str:
    """Return the rule that comes nearest to letting the source in, for a reader."""

    def score(found: ResolvedRule) -> tuple[bool, bool, bool]:
        """Rank by who, then where, then which port."""
        near = [reach for reach in found.reaches if _meets(reach, door)]
        is_open = any(door.is_opened_by(reach) for reach in near)
        return (bool(found.sources & source), bool(near), is_open)

    ranked = sorted(rules, key=score, reverse=True)
    if not ranked or not any(score(ranked[0])):
        return "no rule comes near"
    rule = ranked[0].rule
    where = f"line {rule.position.line}"
    return f"nearest rule: {rule.name} ({where})"


def _meets(reach: Reach, door: _Door) -> bool:
    """Return whether a reach leads to one of a door's addresses."""
    first, last = reach.addresses
    return any(a <= last and first <= b for a, b in door.addresses.of(reach.family))


def failures(reports: Iterable[TestReport]) -> Mapping[str, tuple[str, ...]]:
    """Return the failed tests as the wire has them: source → what is wrong."""
    found: dict[str, tuple[str, ...]] = {}
    for report in reports:
        if report.problems:
            texts = tuple(str(item) for item in report.problems)
            found[report.test.source] = (*found.get(report.test.source, ()), *texts)
    return found
