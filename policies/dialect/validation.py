"""What must hold between the parts of a policy, in the words of the reference service.

`check` finds what no reader of the dialect accepts. `check_supported` finds what is
good dialect and still nothing that a hub-and-spoke gateway enforces; such a policy is
refused as a whole rather than applied in part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from typing import Final

from policies.compiler.types import NEVER
from policies.dialect import selectors
from policies.dialect.document import (
    PolicyDocument,
    Rule,
    Selector,
    SelectorKind,
)
from policies.dialect.errors import (
    PolicyError,
    Position,
    Problem,
    UnsupportedError,
    problem,
)

LONGEST: Final = timedelta(days=3653)
"""Ten years."""

_OWNED: Final = frozenset({SelectorKind.USER, SelectorKind.DOMAIN, SelectorKind.GROUP})
_SELF: Final = (
    "autogroup:self can only be used with users, groups, or supported autogroups"
)


def check(
    document: PolicyDocument, *, groups: Collection[str] = ()
) -> tuple[Problem, ...]:
    """Return every problem that makes a document no valid policy, in order of rules.

    `groups` are names of groups that exist outside the file.
    """
    return (
        *(p for rule in document.rules for p in _rule(document, rule, groups)),
        *_postures(document),
        *_host_names(document),
        *_sets(document),
        *_ids(document),
        *_owners(document),
    )


def check_supported(document: PolicyDocument, *, egress: bool) -> None:
    """Refuse what a gateway does not enforce.

    Raises:
        UnsupportedError: with every rule that is out of the subset, and why.
    """
    problems = [
        problem(rule.position, f"{rule.name}: {reason}")
        for rule in document.rules
        for reason in _unsupported(rule, egress=egress)
    ]
    if problems:
        raise UnsupportedError(problems)


def check_dates(document: PolicyDocument, *, now: datetime) -> tuple[Problem, ...]:
    """Return warnings about rules that have ended.

    Raises:
        PolicyError: a rule begins or ends more than `LONGEST` ahead; such a time is a
            slip, and what is meant to last is written without an end.
    """
    far = [
        problem(rule.position, f"{rule.name}: {word} more than 10 years ahead")
        for rule in document.rules
        for word, moment in (("begins", rule.not_before), ("expires", rule.expires))
        if moment != NEVER and moment > now + LONGEST
    ]
    if far:
        raise PolicyError(far)
    return tuple(
        problem(rule.position, f"{rule.name}: has ended, it allows nothing")
        for rule in document.rules
        if rule.expires <= now
    )


def _unsupported(rule: Rule, *, egress: bool) -> Iterator[str]:
    """Yield why a rule is out of the subset."""
    if rule.apps and not any(target.services for target in rule.targets):
        yield "app capabilities are not enforced by a gateway"
    names = {target.selector.text for target in rule.targets}
    if selectors.SELF in names:
        yield "autogroup:self is device to device, which gateways deny"
    if selectors.INTERNET in names and not egress:
        yield "autogroup:internet needs an egress gateway"


def _rule(
    document: PolicyDocument, rule: Rule, groups: Collection[str]
) -> Iterator[Problem]:
    """Yield the problems of one rule."""
    for source in rule.sources:
        yield from _source(document, source, groups)
    for target in rule.targets:
        yield from _target(document, rule, target.selector, groups)
    for tag in rule.via:
        if tag not in document.tag_owners:
            yield problem(rule.position, f'via=tag not found: "{tag}"')
    for name in rule.postures:
        if name not in document.postures:
            yield problem(rule.position, f'srcPosture=posture not found: "{name}"')


def _source(
    document: PolicyDocument, source: Selector, groups: Collection[str]
) -> Iterator[Problem]:
    """Yield what is wrong with a source."""
    if source.text in {selectors.SELF, selectors.INTERNET}:
        text = f'"{source.text}" not valid on the src side of a rule'
        yield problem(source.position, text)
    else:
        yield from _defined(document, "src", source, groups)


def _target(
    document: PolicyDocument, rule: Rule, target: Selector, groups: Collection[str]
) -> Iterator[Problem]:
    """Yield what is wrong with a destination."""
    if target.prefix is not None and target.prefix.prefixlen == 0:
        yield problem(
            target.position,
            f'dst "{target.text}": to allow all IP addresses, use "*" or'
            ' "autogroup:internet"',
        )
    elif target.text == selectors.DANGER:
        yield problem(target.position, "cannot use autogroup:danger-all as a dst")
    elif target.text == selectors.INTERNET and rule.apps:
        text = "cannot use app grants with autogroup:internet"
        yield problem(target.position, text)
    elif target.text == selectors.SELF:
        if not all(_may_have_self(rule, source) for source in rule.sources):
            yield problem(target.position, _SELF)
    else:
        yield from _defined(document, "dst", target, groups)


def _may_have_self(rule: Rule, source: Selector) -> bool:
    """Return whether "its own devices" means something for a source."""
    if source.kind is SelectorKind.EVERYTHING:
        return rule.is_acl
    return source.kind in _OWNED or source.text in selectors.ROLES


def _defined(
    document: PolicyDocument, side: str, found: Selector, groups: Collection[str]
) -> Iterator[Problem]:
    """Yield a problem if a name is not defined in the file."""
    match found.kind:
        case SelectorKind.TAG:
            what, known = "tag", found.text in document.tag_owners
        case SelectorKind.GROUP:
            what = "group"
            known = found.text in document.groups or found.text in groups
        case SelectorKind.HOST:
            what, known = "host", found.text in document.hosts
        case SelectorKind.IPSET:
            what, known = "ipset", found.text in document.ipsets
        case SelectorKind.ROLE:
            what, known = "autogroup", found.text in selectors.AUTOGROUPS
        case _:
            return
    if not known:
        text = f'{side}={what} not found: "{found.text}"'
        yield problem(found.position, text)


def _postures(document: PolicyDocument) -> Iterator[Problem]:
    """Yield default postures that are not defined."""
    for name in document.default_postures:
        if name not in document.postures:
            text = f'defaultSrcPosture=posture not found: "{name}"'
            yield problem(Position(line=1, column=1), text)


def _host_names(document: PolicyDocument) -> Iterator[Problem]:
    """Yield names of hosts that are not defined, or that would lose their bound."""
    for alias in document.host_names:
        if alias not in document.hosts:
            text = f'hostNames="{alias}" is not in hosts, where its prefix stands'
            yield problem(document.places[alias], text)
    for name, steps in document.ipsets.items():
        for step in steps:
            if step.selector.text in document.host_names:
                text = f'"{name}" cannot hold {step.selector.text!r}, a host name'
                yield problem(step.selector.position, text)


def _sets(document: PolicyDocument) -> Iterator[Problem]:
    """Yield names in address sets that are not defined, and sets in circles."""
    for name, steps in document.ipsets.items():
        for step in steps:
            yield from _defined(document, name, step.selector, ())
    try:
        set_order(document)
    except CycleError as exc:
        circle: list[str] = exc.args[1]
        name = min(circle)
        yield problem(document.places[name], f'"{name}" contains itself')


def set_order(document: PolicyDocument) -> tuple[str, ...]:
    """Return the names of address sets, each behind those it contains.

    Raises:
        CycleError: a set contains itself.
    """
    parts = {
        name: [s.selector.text for s in steps if s.selector.text in document.ipsets]
        for name, steps in document.ipsets.items()
    }
    return tuple(TopologicalSorter(parts).static_order())


def _ids(document: PolicyDocument) -> Iterator[Problem]:
    """Yield rules that share an id without being parts of one grant.

    Parts of one grant have different destinations; all else is the same.
    """
    first: dict[str, Rule] = {}
    places = {rule.name for rule in document.rules if rule.id is None}
    for rule in document.rules:
        if rule.id is None:
            continue
        if rule.id in places:
            text = f'the id "{rule.id}" is the place of another rule'
            yield problem(rule.position, text)
        other = first.setdefault(rule.id, rule)
        if _terms(other) != _terms(rule):
            text = f'the id "{rule.id}" stands for two different grants'
            yield problem(rule.position, text)


def _terms(rule: Rule) -> tuple[object, ...]:
    """Return all of a rule but its destinations."""
    return (
        rule.sources,
        rule.comment,
        rule.via,
        rule.postures,
        rule.not_before,
        rule.expires,
        rule.schedule,
        rule.requires,
    )


def _owners(document: PolicyDocument) -> Iterator[Problem]:
    """Yield owners of tags that are not defined."""
    for tag, owners in document.tag_owners.items():
        for owner in owners:
            kind = "tag" if owner.startswith("tag:") else "group"
            known = (*document.tag_owners, *document.groups)
            if owner.startswith(("tag:", "group:")) and owner not in known:
                text = f'tagOwners={kind} not found: "{owner}"'
                yield problem(document.places[tag], text)
