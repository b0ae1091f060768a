"""Which rules of a file concern a person, or an address and port. Pure.

Rules that are over concern nobody. A rule concerns a person also when they have no
device yet, and whatever postures and hours it demands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from policies.compiler.errors import InvalidValueError
from policies.compiler.ranges import Family, Range
from policies.compiler.types import IPAddress, address
from policies.dialect import selectors
from policies.dialect.directory import Directory, Person
from policies.dialect.document import (
    ANY_PORT,
    PolicyDocument,
    Rule,
    Selector,
    SelectorKind,
    Target,
)
from policies.dialect.errors import DialectError, UnknownNameError
from policies.dialect.postures import assertion_text
from policies.dialect.resolve import destinations_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A rule that concerns who or what was asked about, as the file spells it."""

    users: tuple[str, ...]
    ports: tuple[str, ...]
    line: int
    via: tuple[str, ...]
    postures: tuple[str, ...]


def rules_for_user(
    document: PolicyDocument, directory: Directory, login: str, *, now: datetime
) -> tuple[Match, ...]:
    """Return the rules whose source is this person.

    Raises:
        UnknownNameError: nobody is called so.
    """
    person = next((p for p in directory.people if p.login == login), None)
    if person is None:
        msg = f"user {login!r} not found"
        raise UnknownNameError(msg)
    return tuple(
        _match(document, rule)
        for rule in _live(document, now)
        if any(_is(document, directory, source, person) for source in rule.sources)
    )


def rules_for_port(
    document: PolicyDocument, directory: Directory, text: str, *, now: datetime
) -> tuple[Match, ...]:
    """Return the rules that lead to `address:port`, or `[address]:port` for IPv6.

    Raises:
        DialectError: the text is neither.
    """
    host, ports = selectors.split_ports(text)
    ((first, last), *more) = selectors.port_ranges(ports)
    if more or first != last:
        msg = f"{text!r} is not one address and one port"
        raise DialectError(msg)
    try:
        found = address(host)
    except InvalidValueError as exc:
        raise DialectError(str(exc)) from exc
    return tuple(
        _match(document, rule)
        for rule in _live(document, now)
        if any(_leads(document, directory, t, found, first) for t in rule.targets)
    )


def postures_of(
    document: PolicyDocument, matches: tuple[Match, ...]
) -> Mapping[str, tuple[str, ...]]:
    """Return what the postures that matches name demand."""
    names = sorted({name for match in matches for name in match.postures})
    return {
        name: tuple(assertion_text(item) for item in document.postures[name])
        for name in names
    }


def _live(document: PolicyDocument, now: datetime) -> Iterator[Rule]:
    """Yield the rules that are not over."""
    return (rule for rule in document.rules if now < rule.expires)


def _is(
    document: PolicyDocument, directory: Directory, source: Selector, person: Person
) -> bool:
    """Return whether a source stands for a person, among others."""
    match source.kind:
        case SelectorKind.EVERYTHING:
            return True
        case SelectorKind.USER:
            return source.text == person.login
        case SelectorKind.DOMAIN:
            return person.login.endswith(source.text.removeprefix("user:*"))
        case SelectorKind.GROUP:
            members = document.groups.get(source.text)
            held = directory.groups.get(source.text, frozenset())
            return person.login in (held if members is None else members)
        case SelectorKind.ROLE:
            return source.text == selectors.MEMBER or source.text in person.roles
        case _:
            return False


def _leads(
    document: PolicyDocument,
    directory: Directory,
    target: Target,
    asked: IPAddress,
    port: int,
) -> bool:
    """Return whether a destination is an address and, at some protocol, a port."""
    if not any(s.ports[0] <= port <= s.ports[1] for s in target.services):
        return False
    family: Family = 4 if asked.version == 4 else 6  # noqa: PLR2004 -- IP versions
    spans = destinations_of(document, directory, target.selector).of(family)
    return any(first <= int(asked) <= last for first, last in spans)


def _match(document: PolicyDocument, rule: Rule) -> Match:
    """Return a rule as the file spells it."""
    return Match(
        users=tuple(source.text for source in rule.sources),
        ports=tuple(_spelled(target) for target in rule.targets),
        line=rule.position.line,
        via=rule.via,
        postures=rule.postures or document.default_postures,
    )


def _spelled(target: Target) -> str:
    """Return `host:ports`; protocols are not part of this form."""
    host = target.selector.text
    spans = sorted({service.ports for service in target.services})
    ports = "*" if ANY_PORT in spans else ",".join(map(_span, spans))
    is_ipv6 = target.selector.kind is SelectorKind.PREFIX and ":" in host
    return f"[{host}]:{ports}" if is_ipv6 else f"{host}:{ports}"


def _span(ports: Range) -> str:
    """Return a range of ports."""
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"
