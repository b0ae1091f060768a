"""A policy as the portal keeps one: named groups, applications and grants.

The bridge between a policy file and the compiler's facts. Definitions hold names, so
that two of them can be compared, whatever ids a database gives; `to_facts` and
`from_facts` exchange names and ids by a directory of `Names`.

This is where hub-and-spoke is insisted on: a source is a person or a group, a
destination is an application. Devices as destinations, addresses as sources and
protocols that the compiler does not know are refused, each with its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from policies.compiler.conditions import Requirements, Schedule
from policies.compiler.regions import ICMP, ICMPV6, TCP, UDP
from policies.compiler.strictness import Strictness
from policies.compiler.types import (
    NEVER,
    Destination,
    IPNetwork,
    PortRange,
    Protocol,
    SubjectKind,
)
from policies.dialect import selectors
from policies.dialect.directory import Directory
from policies.dialect.document import (
    ALWAYS,
    ANY_PORT,
    PolicyDocument,
    Rule,
    Selector,
    SelectorKind,
    Service,
    Target,
)
from policies.dialect.errors import Problem, UnsupportedError, problem
from policies.dialect.naming import application_names, base_name
from policies.dialect.postures import Posture
from policies.dialect.resolve import destinations_of

EVERY_APPLICATION = "*"
"""What a grant names whose destination is `*`: all applications, said by name."""

_ALL = frozenset(selectors.PROTOCOLS["any"])
_KNOWN = frozenset({TCP, UDP, ICMP, ICMPV6})


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class GroupDefinition:
    """A group that the file defines, with the logins of its members."""

    name: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationDefinition:
    """Named destinations. `terms` are None where a file does not say."""

    name: str
    destinations: tuple[Destination, ...]
    terms: Strictness | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantDefinition:
    """Subject → application, with everything that limits it.

    `name` is the identity of the rule it comes from; a rule that makes several grants
    numbers them (`acls[0]/2`). `application` is a name, `*` for every one, or
    `tag:NAME` for those that bear a label. `sites` are the tags of the gateways it is
    for.
    """

    name: str
    kind: SubjectKind
    subject: str
    application: str
    not_before: datetime = ALWAYS
    expires_at: datetime = NEVER
    schedule: Schedule | None = None
    requires: Requirements = ()
    postures: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDefinition:
    """A whole policy; each part sorted, each name once."""

    groups: tuple[GroupDefinition, ...] = ()
    applications: tuple[ApplicationDefinition, ...] = ()
    grants: tuple[GrantDefinition, ...] = ()
    postures: Mapping[str, Posture] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = field(default=(), compare=False)


def define(
    document: PolicyDocument, directory: Directory | None = None
) -> PolicyDefinition:
    """Return the groups, applications and grants that a policy file makes.

    Of the directory only `labels` and `bearers` are needed: what tags mean as
    destinations.

    Raises:
        UnsupportedError: with every rule that does not fit hub-and-spoke, and why.
    """
    found = directory or Directory()
    problems = [
        problem(rule.position, f"{rule.name}: {reason}")
        for rule in document.rules
        for reason in misfits(rule, found)
    ]
    if problems:
        raise UnsupportedError(problems)
    served = {
        key: _destinations(document, found, rules)
        for key, rules in _served(document.rules, found).items()
    }
    names = application_names(served)
    _check_terms(document, names.values())
    grants = tuple(_grants(document, found, served, names))
    _check_names(document, grants)
    return PolicyDefinition(
        groups=tuple(
            GroupDefinition(name=name, members=tuple(sorted(set(members))))
            for name, members in sorted(document.groups.items())
        ),
        applications=tuple(
            ApplicationDefinition(
                name=name, destinations=destinations, terms=document.terms.get(name)
            )
            for name, destinations in sorted(
                {names[key]: served[key] for key in served}.items()
            )
        ),
        grants=tuple(sorted(grants, key=lambda grant: grant.name)),
        postures=dict(sorted(document.postures.items())),
        warnings=(*document.warnings, *_warnings(document.rules)),
    )


def misfits(rule: Rule, directory: Directory) -> Iterator[str]:
    """Yield why a rule is nothing that a gateway in front of applications enforces."""
    for source in rule.sources:
        is_address = source.kind in {
            SelectorKind.PREFIX,
            SelectorKind.HOST,
            SelectorKind.IPSET,
        }
        if is_address or source.text == selectors.DANGER:
            yield f"src {source.text!r} is an address, not a person or a group"
    for target in rule.targets:
        yield from _target_misfits(target, directory)


def _check_names(document: PolicyDocument, grants: Iterable[GrantDefinition]) -> None:
    """Refuse two grants of one name: `a/1`, and the first of several that `a` makes."""
    seen: set[str] = set()
    for grant in grants:
        if grant.name in seen:
            rule = next(r for r in document.rules if grant.name.startswith(r.name))
            text = f'two grants would be called "{grant.name}"; change an id'
            raise UnsupportedError([problem(rule.position, text)])
        seen.add(grant.name)


def _check_terms(document: PolicyDocument, names: Iterable[str]) -> None:
    """Refuse terms of what no rule names: they would hold for nothing."""
    known = frozenset(names)
    problems = [
        problem(
            document.term_places[name],
            f'applicationTerms="{name}" is no application that the file grants',
        )
        for name in document.terms
        if name not in known
    ]
    if problems:
        raise UnsupportedError(problems)


def _target_misfits(target: Target, directory: Directory) -> Iterator[str]:
    """Yield why a destination is not an application."""
    text = target.selector.text
    is_narrowed = any(s.ports != ANY_PORT or s.named for s in target.services)
    match target.selector.kind:
        case SelectorKind.USER | SelectorKind.DOMAIN | SelectorKind.GROUP:
            yield f"dst {text!r} is device to device, which gateways deny"
        case SelectorKind.ROLE:
            yield f"dst {text!r} is no application"
        case SelectorKind.TAG if text in directory.bearers:
            if is_narrowed:
                yield (
                    f"dst {text!r} is every application that bears it, as it is; name"
                    " one to choose ports"
                )
        case SelectorKind.TAG if text not in directory.labels:
            yield f"dst {text!r} labels no application"
        case SelectorKind.EVERYTHING if is_narrowed:
            yield "dst '*' is every application as it is; name one to choose ports"
    for service in target.services:
        odd = set(service.protocols) - _KNOWN
        if odd and set(service.protocols) != _ALL:
            yield f"protocol {min(odd)} cannot be granted; name tcp, udp, icmp or any"


def _warnings(rules: Iterable[Rule]) -> Iterator[Problem]:
    """Yield what an author may not have meant."""
    for rule in rules:
        if any(t.selector.kind is SelectorKind.EVERYTHING for t in rule.targets):
            text = f"{rule.name}: dst '*' is every application, also later ones"
            yield problem(rule.position, text)


def _key(rule: Rule, target: Target) -> tuple[str, str]:
    """Return what the destinations of one application in one grant have in common.

    Rules with one id are parts of one grant (`validation` has seen to that).
    """
    return (rule.name, base_name(target.selector.text))


def _whole(target: Target, directory: Directory) -> str:
    """Return what a grant names for applications as they are: all, or those of a tag.

    Empty for a destination that makes an application of its own.
    """
    if target.selector.kind is SelectorKind.EVERYTHING:
        return EVERY_APPLICATION
    is_borne = target.selector.text in directory.bearers
    return target.selector.text if is_borne else ""


def _served(
    rules: Iterable[Rule], directory: Directory
) -> dict[tuple[str, str], list[Target]]:
    """Return the targets of each application of each grant."""
    found: dict[tuple[str, str], list[Target]] = {}
    for rule in rules:
        for target in rule.targets:
            if not _whole(target, directory):
                found.setdefault(_key(rule, target), []).append(target)
    return found


def _destinations(
    document: PolicyDocument, directory: Directory, targets: Iterable[Target]
) -> tuple[Destination, ...]:
    """Return the destinations of one application, in order."""
    found = {
        destination
        for target in targets
        for prefix in _prefixes(document, directory, target.selector)
        for service in target.services
        for destination in _spoken(prefix, service, host=_host(document, target))
    }
    return tuple(sorted(found, key=lambda destination: destination.sort_key))


def _prefixes(
    document: PolicyDocument, directory: Directory, selector: Selector
) -> tuple[IPNetwork, ...]:
    """Return the prefixes a destination stands for."""
    if selector.kind is SelectorKind.TAG:
        return directory.labels[selector.text]
    return destinations_of(document, Directory(), selector).networks()


def _host(document: PolicyDocument, target: Target) -> str:
    """Return the host name that a destination is known by, or nothing."""
    is_alias = target.selector.kind is SelectorKind.HOST
    return document.host_names.get(target.selector.text, "") if is_alias else ""


def _spoken(prefix: IPNetwork, service: Service, *, host: str) -> Iterator[Destination]:
    """Yield the destinations that one service makes of a prefix."""
    if frozenset(service.protocols) == _ALL:
        yield Destination(prefix=prefix, protocol=Protocol.ANY, ports=None, host=host)
        return
    first, last = service.ports
    ports = PortRange(first=first, last=last)
    for number, protocol in ((TCP, Protocol.TCP), (UDP, Protocol.UDP)):
        if number in service.protocols:
            yield Destination(prefix=prefix, protocol=protocol, ports=ports, host=host)
    for number, protocol, version in (
        (ICMP, Protocol.ICMP, 4),
        (ICMPV6, Protocol.ICMPV6, 6),
    ):
        if number in service.protocols and prefix.version == version:
            yield Destination(prefix=prefix, protocol=protocol, ports=None, host=host)


def _grants(
    document: PolicyDocument,
    directory: Directory,
    served: Mapping[tuple[str, str], tuple[Destination, ...]],
    names: Mapping[tuple[str, str], str],
) -> Iterator[GrantDefinition]:
    """Yield the grants of every rule; parts of one grant together."""
    rules = {rule.name: rule for rule in reversed(document.rules)}
    applications: dict[str, set[str]] = {name: set() for name in rules}
    for key in served:
        applications[key[0]].add(names[key])
    for rule in document.rules:
        applications[rule.name].update(
            whole for t in rule.targets if (whole := _whole(t, directory))
        )
    for name, rule in rules.items():
        pairs = [
            (subject, application)
            for subject in sorted({_subject(source) for source in rule.sources})
            for application in sorted(applications[name])
        ]
        for index, ((kind, subject), application) in enumerate(pairs, 1):
            yield GrantDefinition(
                name=name if len(pairs) == 1 else f"{name}/{index}",
                kind=kind,
                subject=subject,
                application=application,
                not_before=rule.not_before,
                expires_at=rule.expires,
                schedule=rule.schedule,
                requires=rule.requires,
                postures=rule.postures or document.default_postures,
                sites=rule.via,
                comment=rule.comment,
            )


def _subject(source: Selector) -> tuple[SubjectKind, str]:
    """Return who a source is. `*` is everybody with a device of their own."""
    if source.kind is SelectorKind.USER:
        return (SubjectKind.USER, source.text)
    is_everybody = source.kind is SelectorKind.EVERYTHING
    return (SubjectKind.GROUP, selectors.MEMBER if is_everybody else source.text)
