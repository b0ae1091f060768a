"""Values the agent's parts hand to each other. Pure.

What the kernel says (flows, logged packets, an interface's state), without the means
by which it was said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from policies.compiler.types import IPAddress, IPNetwork

PeerMap = Mapping[str, frozenset[IPNetwork]]
"""AllowedIPs by public key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTuple:
    """A 5-tuple in the direction of its first packet; ports where there are some.

    `icmp_id` tells echo requests to one host apart, as the kernel does.
    """

    protocol: int
    source: IPAddress
    source_port: int | None
    destination: IPAddress
    destination_port: int | None
    icmp_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One conntrack entry: who (mark), what (tuple), how much, since when.

    `original` is the kernel's own encoding of the tuple, to name it in a deletion.
    Times are nanoseconds since the epoch, 0 when the kernel keeps none.
    """

    id: int
    mark: int
    tuple: FlowTuple
    original: bytes
    zone: int
    bytes_up: int
    bytes_down: int
    packets_up: int
    packets_down: int
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One logged packet: its group, prefix, tuple, and conntrack mark.

    The mark is 0 where the kernel cannot say (no NETFILTER_NETLINK_GLUE_CT). `lost`
    is the number of messages of the group that never arrived before it.
    """

    group: int
    prefix: str
    tuple: FlowTuple | None
    mark: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrun:
    """The kernel threw messages away; `source` says of which reader."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignChange:
    """A change of our table that this program did not make.

    `by` is the process, where the kernel told; `rules` are the chain and the handle
    of each rule that was added. `is_flush` says that the table was deleted.
    """

    what: tuple[str, ...]
    by: str = ""
    rules: tuple[tuple[str, int], ...] = ()
    is_flush: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A peer's last handshake (0 for none), endpoint (or nothing), bytes since it is.

    The endpoint is `ADDRESS:PORT`, an IPv6 address in brackets.
    """

    handshake_ns: int = 0
    endpoint: str = ""
    received: int = 0
    sent: int = 0

    @property
    def since_epoch(self) -> timedelta:
        """The last handshake, to the microsecond."""
        return timedelta(microseconds=self.handshake_ns // 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceState:
    """What an interface holds: its port and each peer's AllowedIPs by public key.

    `is_keyed` says whether its private key is the one that was set; `seen` is what
    peers did lately, which is no part of what was set.
    """

    listen_port: int
    peers: Mapping[str, frozenset[IPNetwork]]
    is_keyed: bool = True
    seen: Mapping[str, Sighting] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Whether the gate is kept open; if not, why. The kernel closes it in a minute."""

    is_open: bool
    reason: str = ""


@dataclass(slots=True)
class Timings:
    """Milliseconds of each part of one application, and the flows it cut."""

    verify_ms: float = 0.0
    persist_ms: float = 0.0
    nftables_ms: float = 0.0
    wireguard_ms: float = 0.0
    conntrack_ms: float = 0.0
    total_ms: float = 0.0
    flows_cut: int = field(default=0)

    def document(self) -> dict[str, float]:
        """Return the milliseconds as an acknowledgement carries them."""
        return {
            "verify_ms": round(self.verify_ms, 3),
            "persist_ms": round(self.persist_ms, 3),
            "nftables_ms": round(self.nftables_ms, 3),
            "wireguard_ms": round(self.wireguard_ms, 3),
            "conntrack_ms": round(self.conntrack_ms, 3),
            "total_ms": round(self.total_ms, 3),
        }
