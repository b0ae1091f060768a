"""From names to addresses: what a policy makes each gateway enforce.

Union of rules, default deny, order never matters. A name that stands for nobody gives
nothing. Which rule allows what stays known to the end: the audit asks.

Semantics are those of the reference service: a tagged machine is nobody's; `*` as a
source is the tunnel prefixes and the routes behind gateways, not the Internet; a
gateway gets the rules whose destination touches its routes or its own addresses, as
they are written (nothing is clipped to the route).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from policies.compiler.ranges import (
    FAMILIES,
    Family,
    Range,
    network_family,
    network_range,
)
from policies.dialect import selectors
from policies.dialect.addresses import (
    EVERYTHING,
    AddressSet,
    of_addresses,
    of_networks,
    union,
)
from policies.dialect.directory import Directory, Machine, Site
from policies.dialect.document import (
    PolicyDocument,
    Rule,
    Selector,
    SelectorKind,
    Service,
)
from policies.dialect.naming import service_text
from policies.dialect.postures import Scalar, any_holds
from policies.dialect.schedules import is_within
from policies.dialect.validation import set_order


@dataclass(frozen=True, slots=True)
class Reach:
    """A range of destinations and a service there. `is_all` is the literal `*`."""

    family: Family
    addresses: Range
    service: Service
    is_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedRule:
    """A rule with the addresses it lets through; `sources` may be empty."""

    rule: Rule
    sources: AddressSet
    reaches: tuple[Reach, ...]


def resolve(
    document: PolicyDocument,
    directory: Directory,
    *,
    at: datetime,
    supposed: Mapping[str, Scalar] | None = None,
) -> tuple[ResolvedRule, ...]:
    """Return what each rule lets through at a moment, in the order of the file.

    `supposed` are attributes that every device is taken to have, in place of its own.

    Raises:
        UnknownNameError: a schedule names a time zone that the directory lacks.
    """
    return Resolver(document, directory).rules(at=at, supposed=supposed)


def for_site(resolved: Iterable[ResolvedRule], site: Site) -> tuple[ResolvedRule, ...]:
    """Return the part of a resolved policy that one gateway enforces."""
    routes = of_networks(route for route in site.routes if route.prefixlen > 0)
    own = of_addresses(site.addresses)
    kept = (
        ResolvedRule(
            rule=found.rule,
            sources=found.sources,
            reaches=tuple(
                reach
                for reach in found.reaches
                if _touches(reach, routes if found.rule.via else routes | own)
            ),
        )
        for found in resolved
        if not found.rule.via or set(found.rule.via) & set(site.tags)
    )
    return tuple(found for found in kept if found.reaches)


def destinations_of(
    document: PolicyDocument, directory: Directory, selector: Selector
) -> AddressSet:
    """Return the addresses a name in `dst` stands for."""
    return Resolver(document, directory).destination(selector)


def unknown_people(document: PolicyDocument, directory: Directory) -> tuple[str, ...]:
    """Return the logins that a policy names and nobody has, in order, each once."""
    named = {login for members in document.groups.values() for login in members}
    named.update(
        selector.text
        for rule in document.rules
        for selector in rule.sources
        if selector.kind is SelectorKind.USER
    )
    return tuple(sorted(named - {person.login for person in directory.people}))


def _touches(reach: Reach, mine: AddressSet) -> bool:
    """Return whether a destination concerns a gateway."""
    first, last = reach.addresses
    return reach.is_all or any(
        start <= last and first <= end for start, end in mine.of(reach.family)
    )


def _is_live(rule: Rule, directory: Directory, at: datetime) -> bool:
    """Return whether a rule is in force at a moment."""
    if not rule.not_before <= at < rule.expires:
        return False
    return rule.schedule is None or is_within(rule.schedule, at, directory.zones)


class Resolver:
    """Answers what names stand for; keeps what was asked before."""

    def __init__(self, document: PolicyDocument, directory: Directory) -> None:
        """Index the directory."""
        self.document = document
        self.directory = directory
        self.ipsets = self._ipsets()
        self.owned: dict[str, list[Machine]] = {}
        self.tagged: dict[str, list[Machine]] = {}
        for machine in directory.machines:
            if machine.owner is not None and not machine.tags:
                self.owned.setdefault(machine.owner, []).append(machine)
            for tag in machine.tags:
                self.tagged.setdefault(tag, []).append(machine)

    def rules(
        self, *, at: datetime, supposed: Mapping[str, Scalar] | None = None
    ) -> tuple[ResolvedRule, ...]:
        """Return what each rule lets through at a moment, in the order of the file.

        Raises:
            UnknownNameError: a schedule names a time zone that the directory lacks.
        """
        resolved = (
            ResolvedRule(
                rule=rule,
                sources=self.sources(rule, supposed),
                reaches=self.reaches(rule),
            )
            for rule in self.document.rules
            if _is_live(rule, self.directory, at)
        )
        return tuple(found for found in resolved if found.sources and found.reaches)

    def sources(self, rule: Rule, supposed: Mapping[str, Scalar] | None) -> AddressSet:
        """Return the addresses a rule lets through, postures considered."""
        found = union(self.source(selector) for selector in rule.sources)
        names = rule.postures or self.document.default_postures
        if not names:
            return found
        postures = [self.document.postures[name] for name in names]
        fit = (
            machine
            for machine in self.directory.machines
            if any_holds(postures, machine.attributes if supposed is None else supposed)
        )
        return found & _addresses(fit)

    def reaches(self, rule: Rule) -> tuple[Reach, ...]:
        """Return the destinations of a rule."""
        bearers = self.directory.bearers
        return tuple(
            Reach(
                family,
                span,
                service,
                target.selector.kind is SelectorKind.EVERYTHING,
            )
            for target in rule.targets
            if target.selector.text not in bearers
            for found in (self.destination(target.selector),)
            for family in FAMILIES
            for span in found.of(family)
            for service in target.services
        ) + tuple(
            Reach(
                network_family(destination.prefix),
                network_range(destination.prefix),
                service,
            )
            for target in rule.targets
            for destination in bearers.get(target.selector.text, ())
            for service in selectors.grant_services(service_text(destination))
        )

    def source(self, selector: Selector) -> AddressSet:
        """Return the addresses a name stands for as a source."""
        if selector.kind is SelectorKind.EVERYTHING:
            routes = (
                route
                for site in self.directory.sites
                for route in site.routes
                if route.prefixlen > 0
            )
            return of_networks((*self.directory.overlay, *routes))
        return self.named(selector)

    def destination(self, selector: Selector) -> AddressSet:
        """Return the addresses a name stands for as a destination."""
        if selector.kind is SelectorKind.EVERYTHING:
            return EVERYTHING
        labels = self.directory.labels.get(selector.text, ())
        return self.named(selector) | of_networks(labels)

    def named(self, selector: Selector) -> AddressSet:
        """Return the addresses a name stands for on either side."""
        match selector.kind:
            case SelectorKind.PREFIX:
                return of_networks(
                    () if selector.prefix is None else (selector.prefix,)
                )
            case SelectorKind.HOST:
                return of_networks((self.document.hosts[selector.text],))
            case SelectorKind.IPSET:
                return self.ipsets[selector.text]
            case SelectorKind.TAG:
                return _addresses(self.tagged.get(selector.text, ()))
            case SelectorKind.ROLE:
                return self.role(selector.text)
            case _:
                return self.people(self.logins(selector))

    def logins(self, selector: Selector) -> Iterable[str]:
        """Return the people that a user, a domain or a group stands for."""
        if selector.kind is SelectorKind.USER:
            return (selector.text,)
        if selector.kind is SelectorKind.DOMAIN:
            domain = selector.text.removeprefix("user:*")
            return (p.login for p in self.directory.people if p.login.endswith(domain))
        members = self.document.groups.get(selector.text)
        return self.directory.groups[selector.text] if members is None else members

    def people(self, logins: Iterable[str]) -> AddressSet:
        """Return the addresses of the devices that some people own."""
        return _addresses(
            machine for login in logins for machine in self.owned.get(login, ())
        )

    def role(self, name: str) -> AddressSet:
        """Return the addresses that an autogroup stands for."""
        if name == selectors.DANGER:
            return EVERYTHING
        if name == selectors.INTERNET:
            return EVERYTHING - of_networks(self.directory.overlay)
        if name == selectors.TAGGED:
            return _addresses(m for m in self.directory.machines if m.tags)
        if name == selectors.MEMBER:
            return self.people(self.owned)
        people = self.directory.people
        return self.people(person.login for person in people if name in person.roles)

    def _ipsets(self) -> dict[str, AddressSet]:
        """Return the address sets, their steps done in order."""
        done: dict[str, AddressSet] = {}
        for name in set_order(self.document):
            found = AddressSet()
            for step in self.document.ipsets[name]:
                text, prefix = step.selector.text, step.selector.prefix
                if step.selector.kind is SelectorKind.IPSET:
                    part = done[text]
                else:
                    part = of_networks([prefix or self.document.hosts[text]])
                found = found | part if step.adds else found - part
            done[name] = found
        return done


def _addresses(machines: Iterable[Machine]) -> AddressSet:
    """Return the addresses of some machines."""
    return of_addresses(
        address for machine in machines for address in machine.addresses
    )
