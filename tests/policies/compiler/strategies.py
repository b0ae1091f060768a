"""Random policies, made so that destinations overlap, nest and touch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
from random import Random
from typing import Final

from hypothesis import strategies as st

from policies.compiler.conditions import ApprovedDevice, Requirement
from policies.compiler.evaluate import Packet
from policies.compiler.strictness import ORDINARY, Evidence, Strictness
from policies.compiler.types import (
    NEVER,
    Application,
    Destination,
    Facts,
    Grant,
    Protocol,
    Snapshot,
)
from tests.policies.compiler.build import (
    NOW,
    application,
    device,
    facts,
    grant,
    hours,
    proof,
)
from tests.policies.compiler.examples import MFA, TODAY, WORKDAY

PREFIXES: Final = (
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.128.0/17",
    "10.0.0.4/31",
    "10.0.0.6/32",
    "10.0.0.7/32",
    "0.0.0.0/0",
    "169.254.169.254/32",
    "fd20::/16",
    "fd20::/64",
    "fd20::6/127",
    "fd20::8/128",
    "::/0",
)
SERVICES: Final = (
    "tcp 443",
    "tcp 80-443",
    "tcp 444-500",
    "tcp 1-65535",
    "udp 53",
    "udp 65535",
    "any",
    "icmp",
    "icmpv6",
)
HOSTS: Final = ("", "", "", "db.example.com@", "wiki.example.com@")
BEGINNINGS: Final = (NOW, NOW, NOW + timedelta(minutes=30))
ENDS: Final = (NEVER, NEVER, NOW + timedelta(hours=1), NOW + timedelta(hours=2))

HOURS: Final = (None, None, WORKDAY, hours("mon 10:00-12:00"))
DEMANDS: Final[Sequence[Sequence[Requirement]]] = (
    *((), ()),
    (TODAY,),
    (MFA,),
    (TODAY, MFA, ApprovedDevice()),
)
TERMS: Final = (
    *(ORDINARY,) * 4,
    Strictness(max_staleness=120),
    Strictness(evidence=Evidence.BEST_EFFORT),
)
AGES: Final = (timedelta(0), timedelta(hours=1), timedelta(hours=8), None)
HOW: Final = ("", "pwd", "mfa pwd")


DESTINATIONS: Final = tuple(
    f"{host}{prefix} {service}"
    for host in HOSTS
    for prefix in PREFIXES
    for service in SERVICES
    if not service.startswith("icmp") or (service == "icmpv6") == (":" in prefix)
)

destinations = st.sampled_from(DESTINATIONS)


@st.composite
def policies(draw: st.DrawFn) -> Facts:
    """Draw a policy with five people, two groups and four applications."""
    applications: list[Application] = [
        application(
            number,
            *draw(st.lists(destinations, max_size=4)),
            terms=draw(st.sampled_from(TERMS)),
        )
        for number in range(1, 5)
    ]
    grants: list[Grant] = [
        grant(
            number,
            draw(st.sampled_from(("us_1", "us_2", "us_3", "gr_1", "gr_2"))),
            draw(st.integers(1, 4)),
            not_before=draw(st.sampled_from(BEGINNINGS)),
            expires_at=draw(st.sampled_from(ENDS)),
            hours=draw(st.sampled_from(HOURS)),
            requires=draw(st.sampled_from(DEMANDS)),
        )
        for number in range(1, draw(st.integers(0, 6)) + 1)
    ]
    people = st.integers(1, 5)
    return facts(
        devices=[
            device(
                number,
                draw(people),
                expires_at=draw(st.sampled_from(ENDS)),
                is_approved=draw(st.booleans()),
            )
            for number in draw(st.sets(st.integers(1, 6)))
        ],
        memberships=draw(st.sets(st.tuples(people, st.integers(1, 2)))),
        applications=applications,
        grants=grants,
        proofs=[
            proof(user, ago=draw(st.sampled_from(AGES)), amr=draw(st.sampled_from(HOW)))
            for user in draw(st.sets(people))
        ],
    )


def edge_packets(snapshot: Snapshot, *, seed: int, count: int) -> Sequence[Packet]:
    """Return packets at the edges of everything the snapshot names, one beyond too."""
    random = Random(seed)  # noqa: S311 - reproducible, not secret
    edges = [
        e for a in snapshot.applications for d in a.destinations for e in _edges(d)
    ]
    sources = [address for peer in snapshot.peers for address in peer.addresses]
    sources += [ip_address("100.64.9.9"), ip_address("fd5e:e4a6:e000::9999")]
    targets = [*{target for target, _ in edges}, 0x0A000005, 0x08080808, 0xFD20 << 112]
    ports = [*{port for _, port in edges}, 22]
    packets: list[Packet] = []
    while len(packets) < count:
        source = random.choice(sources)
        target = random.choice(targets)
        if (target < 2**32) != (source.version == 4):
            continue
        protocol = random.choice((6, 6, 17, 17, 1, 58, 50, 253))
        packets.append(
            Packet(
                source=source,
                destination=ip_address(target),
                protocol=protocol,
                port=random.choice(ports) if protocol in {6, 17} else None,
            )
        )
    return packets


def _edges(destination: Destination) -> Sequence[tuple[int, int]]:
    """Return (address, port) at the corners of a destination, and one beyond."""
    first = int(destination.prefix.network_address)
    last = int(destination.prefix.broadcast_address)
    highest = 2**destination.prefix.max_prefixlen - 1
    ports = destination.ports
    low, high = (ports.first, ports.last) if ports else (1, 65535)
    addresses = {a for a in (first - 1, first, last, last + 1) if 0 < a <= highest}
    edges = {p for p in (low - 1, low, high, high + 1) if 0 <= p <= 65535}
    if destination.protocol is Protocol.ANY:
        edges.add(0)
    return [(address, port) for address in addresses for port in sorted(edges)]
