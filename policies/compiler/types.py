"""Values of the compiler: what goes in (facts) and what comes out (a snapshot).

Rules this module keeps:

* Every value is frozen and validates itself; an invalid one cannot exist.
* Collections are tuples, sorted where order has no meaning, so that equal
  policy is equal bytes.
* Times are aware `datetime`s in UTC. "No end" is the named value `NEVER`, never
  an absent field (a missing expiry must not read as "for ever").
* "All ports" is the named value `ALL_PORTS`; an empty tuple allows nothing.
* Machine ids only: no name, no e-mail address, no free text passes through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from types import MappingProxyType
from typing import Final, TypeAlias

from policies.compiler.conditions import Hours, Requirement, Requirements
from policies.compiler.errors import HostBitsError, InvalidValueError
from policies.compiler.hostnames import host_name
from policies.compiler.strictness import ORDINARY, Strictness

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network

NEVER: Final = datetime.max.replace(tzinfo=UTC)
"""The end of something that has no end. Written `"never"` in a snapshot."""

MAX_ID: Final = 2**32 - 1
"""Device ids travel as conntrack marks, which have 32 bits (nft(8), `mark`)."""

MAX_PORT: Final = 65535


class Protocol(StrEnum):
    """What an application speaks. `ANY` is every IP protocol, said by name."""

    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"
    ICMPV6 = "icmpv6"
    ANY = "any"


class SubjectKind(StrEnum):
    """Who a grant is for; the value is the prefix of the subject's machine id."""

    USER = "us"
    GROUP = "gr"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PortRange:
    """Ports `first` to `last`, both included, 1 to 65535.

    Raises:
        InvalidValueError: port 0, a port above 65535, or a reversed range.
    """

    first: int
    last: int

    def __post_init__(self) -> None:
        """Refuse port 0 and reversed ranges."""
        if not 1 <= self.first <= MAX_PORT or not 1 <= self.last <= MAX_PORT:
            msg = f"ports run from 1 to {MAX_PORT}, not {self.first}-{self.last}"
            raise InvalidValueError(msg)
        if self.first > self.last:
            msg = f"the port range {self.first}-{self.last} is reversed"
            raise InvalidValueError(msg)


ALL_PORTS: Final = PortRange(first=1, last=MAX_PORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where an application listens: a prefix, a protocol and, for TCP/UDP, ports.

    With a `host`, only those addresses of the prefix count that the name resolves to
    on the gateway, for as long as its answer holds (ADR-0009).

    Raises:
        InvalidValueError: TCP or UDP without ports, or ports with another protocol,
            or ICMP on IPv6 or ICMPv6 on IPv4, or a host that is no exact name.
    """

    prefix: IPNetwork
    protocol: Protocol
    ports: PortRange | None
    host: str = ""

    def __post_init__(self) -> None:
        """Check that ports and family fit the protocol."""
        ported = self.protocol in {Protocol.TCP, Protocol.UDP}
        if ported != (self.ports is not None):
            msg = f"{self.protocol} {'needs' if ported else 'takes no'} ports"
            raise InvalidValueError(msg)
        family = {Protocol.ICMP: 4, Protocol.ICMPV6: 6}.get(self.protocol)
        if family is not None and family != self.prefix.version:
            msg = f"{self.protocol} does not exist on IPv{self.prefix.version}"
            raise InvalidValueError(msg)
        if self.host:
            host_name(self.host)

    @property
    def sort_key(self) -> tuple[int, int, int, str, int, int, str]:
        """A total order over destinations of both families."""
        ports = self.ports or PortRange(first=1, last=1)
        return (
            self.prefix.version,
            int(self.prefix.network_address),
            self.prefix.prefixlen,
            self.protocol.value,
            ports.first,
            ports.last,
            self.host,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A named set of destinations; here only its id."""

    id: int
    destinations: tuple[Destination, ...]
    strictness: Strictness = ORDINARY


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Subject:
    """A user or a group as a grant names it."""

    kind: SubjectKind
    id: int

    @property
    def ref(self) -> str:
        """The machine id, for example `gr_4`; safe as an nft(8) identifier."""
        return f"{self.kind.value}_{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Subject → application from `not_before` until `expires_at` (or `NEVER`).

    Only in its `hours`, unless they are None, and only for devices that hold each of
    `requires`; neither has a default, so that nobody forgets a condition.
    """

    id: int
    subject: Subject
    application_id: int
    not_before: datetime
    expires_at: datetime
    hours: Hours | None
    requires: Requirements


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A live device: its owner, its active public key (base64), its addresses.

    `id` is the conntrack mark, 1 to 2**32 - 1. `expires_at` is the end of the
    tunnel session, or `NEVER`.
    """

    id: int
    user_id: int
    public_key: str
    addresses: tuple[IPAddress, ...]
    expires_at: datetime
    is_approved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """How a person last proved who they are; what the provider did not say is empty.

    `amr` are the methods, `acr` the class. `proven_at` None: nobody knows when.
    """

    user_id: int
    proven_at: datetime | None
    amr: tuple[str, ...]
    acr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything one gateway's snapshot is compiled from.

    `memberships` are (user id, group id) pairs. `applications` are those served by
    this gateway. `pools` are the tunnel prefixes: routes on the gateway, and the
    bounds of every peer's addresses. `revoked_keys` grow only. `authentications` are
    one a person at most; who has none proved nothing.
    """

    deployment: str
    gateway_id: int
    listen_port: int
    pools: tuple[IPNetwork, ...]
    devices: tuple[Device, ...]
    memberships: tuple[tuple[int, int], ...]
    applications: tuple[Application, ...]
    grants: tuple[Grant, ...]
    revoked_keys: tuple[str, ...]
    authentications: tuple[Authentication, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A device as the gateway sees it (wg(8) peer plus its conntrack mark)."""

    device_id: int
    public_key: str
    addresses: tuple[IPAddress, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectMembers:
    """The devices that a subject holds on this gateway."""

    subject: Subject
    device_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotGrant:
    """A live grant inside a snapshot; the kernel ends it at `expires_at`.

    That is when the grant ends or its hours do, whichever comes first.
    """

    id: int
    subject: Subject
    application_id: int
    expires_at: datetime
    requires: Requirements


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Holder:
    """A device that holds a requirement, until `expires_at` (or `NEVER`)."""

    device_id: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """The peers that hold a requirement that some grant makes; there may be none."""

    requirement: Requirement
    holders: tuple[Holder, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The numbered desired state of one gateway (DESIGN §8).

    `audience` is the gateway's machine id (`gw_1`). Only peers with at least one
    live grant on this gateway are listed; who is omitted is revoked.
    """

    deployment: str
    audience: str
    epoch: int
    generation: int
    issued: datetime
    listen_port: int
    pools: tuple[IPNetwork, ...]
    peers: tuple[Peer, ...]
    subjects: tuple[SubjectMembers, ...]
    applications: tuple[Application, ...]
    grants: tuple[SnapshotGrant, ...]
    revoked_keys: tuple[str, ...]
    conditions: tuple[Holders, ...]


Resolved: TypeAlias = Mapping[str, Mapping[IPAddress, datetime]]
"""What host names resolve to on one gateway: until when each address counts."""

NOTHING_RESOLVED: Final[Resolved] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """How long a gateway may go on with one generation without hearing more.

    Signed afresh at every answer, so an idle system still proves that it is alive.
    `digest` is the SHA-256 of the snapshot payload, lower-case hex.
    """

    deployment: str
    audience: str
    epoch: int
    generation: int
    digest: str
    issued: datetime
    not_after: datetime


def network(text: str) -> IPNetwork:
    """Return the prefix written in `text`.

    Raises:
        HostBitsError: bits are set beyond the mask; the message names the fix.
        InvalidValueError: not a prefix at all (leading zeros, a zone, a bad mask), or
            IPv4 written inside IPv6.
    """
    if "%" in text:
        msg = f"{text!r} carries a zone; a prefix has none"
        raise InvalidValueError(msg)
    try:
        # `ip_network` would try IPv4 first, and fail slowly for IPv6.
        written = IPv6Network(text) if ":" in text else IPv4Network(text)
    except ValueError as exc:
        raise _not_a_prefix(text) from exc
    _refuse_mapped(written.network_address)
    return written


def address(text: str) -> IPAddress:
    """Return the address written in `text`.

    Raises:
        InvalidValueError: not an address, one with a zone, or IPv4 inside IPv6.
    """
    try:
        written = ip_address(text)
    except ValueError as exc:
        msg = f"{text!r} is not an IP address"
        raise InvalidValueError(msg) from exc
    if "%" in text:
        msg = f"{text!r} carries a zone"
        raise InvalidValueError(msg)
    _refuse_mapped(written)
    return written


def is_live(not_before: datetime, expires_at: datetime, *, now: datetime) -> bool:
    """Return whether `now` lies in the half-open interval [not_before, expires_at)."""
    return not_before <= now < expires_at


def remaining(expires_at: datetime, *, now: datetime) -> timedelta | None:
    """Return the time left, or None for `NEVER`. Negative when already past."""
    return None if expires_at == NEVER else expires_at - now


def sorted_networks(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Return the networks, IPv4 first, in address order."""
    return tuple(
        sorted(networks, key=lambda n: (n.version, int(n.network_address), n.prefixlen))
    )


def sorted_destinations(found: Iterable[Destination]) -> tuple[Destination, ...]:
    """Return destinations in order, each once."""
    # By keys, which hash and compare faster than destinations.
    keyed = {destination.sort_key: destination for destination in found}
    return tuple([keyed[key] for key in sorted(keyed)])


def sorted_addresses(addresses: tuple[IPAddress, ...]) -> tuple[IPAddress, ...]:
    """Return addresses in order, IPv4 first."""
    match addresses:
        case [_] | [IPv4Address(), IPv6Address()]:
            return addresses
        case _:
            return tuple(sorted(addresses, key=lambda a: (a.version, int(a))))


def _not_a_prefix(text: str) -> InvalidValueError:
    """Return why `text` is no prefix."""
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        return InvalidValueError(f"{text!r} is not an IP prefix")
    return HostBitsError(f"{text!r} has host bits set; did you mean {meant}?")


def _refuse_mapped(written: IPAddress) -> None:
    """Refuse `::ffff:0:0/96`: never on the wire, and Pythons spell it differently."""
    if isinstance(written, IPv6Address) and written.ipv4_mapped is not None:
        msg = f"{written} is IPv4 inside IPv6; write {written.ipv4_mapped}"
        raise InvalidValueError(msg)
