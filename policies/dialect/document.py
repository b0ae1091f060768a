"""What a policy file says, as values: the subset of the dialect that is read.

Names stay names here (e-mail addresses, `group:eng`, `gitlab`); what they stand for is
a question for the directory (`resolve`). Nothing here knows the portal's ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final, TypeAlias

from policies.compiler.conditions import Requirements, Schedule
from policies.compiler.ranges import Range
from policies.compiler.strictness import Strictness
from policies.compiler.types import MAX_PORT, NEVER, IPNetwork
from policies.dialect.errors import Position, Problem
from policies.dialect.postures import Posture, Scalar

ALWAYS: Final = datetime.min.replace(tzinfo=NEVER.tzinfo)
"""The beginning of what has no beginning."""

ANY_PORT: Final[Range] = (1, MAX_PORT)
"""Written `*`. Port 0 is never meant: no packet that passes carries it."""

START: Final = Position(line=1, column=1)


class SelectorKind(Enum):
    """What a name in `src` or `dst` is."""

    EVERYTHING = "*"
    USER = "user"
    DOMAIN = "user:*@"
    GROUP = "group:"
    TAG = "tag:"
    ROLE = "autogroup:"
    IPSET = "ipset:"
    HOST = "host"
    PREFIX = "prefix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """A name in `src` or `dst`: as written, and the prefix if it is one."""

    kind: SelectorKind
    text: str
    prefix: IPNetwork | None = None
    position: Position = field(default=START, compare=False)


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """IP protocols by number, and the ports of those that have some.

    `named` is false where the file names no protocol: then it is TCP, UDP and both
    ICMPs, as the reference clients read it.
    """

    protocols: tuple[int, ...]
    ports: Range = ANY_PORT
    named: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One destination of a rule with the services allowed there."""

    selector: Selector
    services: tuple[Service, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of `acls` or `grants`.

    `name` is its `id`, or its place in the file (`acls[0]`): the identity that goes
    with everything the rule allows. `via` are the tags of the gateways it is for; none
    means any. `postures` are the names of which one must hold.
    """

    name: str
    sources: tuple[Selector, ...]
    targets: tuple[Target, ...]
    id: str | None = None
    comment: str = ""
    via: tuple[str, ...] = ()
    postures: tuple[str, ...] = ()
    not_before: datetime = ALWAYS
    expires: datetime = NEVER
    schedule: Schedule | None = None
    requires: Requirements = ()
    is_acl: bool = field(default=False, compare=False)
    apps: tuple[str, ...] = ()
    position: Position = field(default=START, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One `host:port` of a test, as written."""

    text: str
    position: Position = field(default=START, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTest:
    """One entry of `tests`. Its parts are judged when it runs, not when it is read."""

    source: str
    protocol: str = ""
    accept: tuple[Claim, ...] = ()
    deny: tuple[Claim, ...] = ()
    attributes: Mapping[str, Scalar] = field(default_factory=dict)
    at: datetime | None = None
    position: Position = field(default=START, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStep:
    """One step of an address set: add or remove a prefix, a host or another set."""

    adds: bool
    selector: Selector


Places: TypeAlias = Mapping[str, Position]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDocument:
    """A policy file. `warnings` tell what was read and has no effect here.

    `host_names` says of some `hosts` that they stand for those of their addresses only
    that a gateway resolves the name to. `terms` are of applications, by name.
    """

    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hosts: Mapping[str, IPNetwork] = field(default_factory=dict)
    host_names: Mapping[str, str] = field(default_factory=dict)
    ipsets: Mapping[str, tuple[SetStep, ...]] = field(default_factory=dict)
    tag_owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    postures: Mapping[str, Posture] = field(default_factory=dict)
    default_postures: tuple[str, ...] = ()
    attribute_types: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    tests: tuple[PolicyTest, ...] = ()
    warnings: tuple[Problem, ...] = field(default=(), compare=False)
    places: Places = field(default_factory=dict, compare=False)
    terms: Mapping[str, Strictness] = field(default_factory=dict)
    term_places: Places = field(default_factory=dict, compare=False)
