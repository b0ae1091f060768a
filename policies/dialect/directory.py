"""What the names in a policy stand for, handed in as data.

The portal fills a `Directory` from its database; a test or another tool from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from policies.compiler.types import Destination, IPAddress, IPNetwork
from policies.dialect.postures import Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user: the name a policy uses (an e-mail address) and the roles held.

    `roles` are written as in a policy, for example `autogroup:admin`.
    """

    login: str
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A device: its owner, or the tags that took the owner's place."""

    addresses: tuple[IPAddress, ...]
    owner: str | None = None
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A gateway: its tags, its own addresses and the prefixes behind it."""

    name: str
    routes: tuple[IPNetwork, ...]
    addresses: tuple[IPAddress, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Everything a policy may name.

    `groups` are those of the identity provider (`group:eng` → logins). `overlay` are
    the tunnel prefixes: with the routes of all sites they are what `*` means as a
    source. `labels` are the prefixes that a tag means as a destination beyond the
    machines that carry it. `bearers` are, for a tag that applications bear, their
    destinations: such a tag as a destination is those applications as they are.
    `zones` are the time zones that schedules may name.
    """

    people: tuple[Person, ...] = ()
    machines: tuple[Machine, ...] = ()
    sites: tuple[Site, ...] = ()
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    overlay: tuple[IPNetwork, ...] = ()
    labels: Mapping[str, tuple[IPNetwork, ...]] = field(default_factory=dict)
    bearers: Mapping[str, tuple[Destination, ...]] = field(default_factory=dict)
    zones: Mapping[str, tzinfo] = field(default_factory=dict)
