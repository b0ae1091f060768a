"""Random policies and packets, and what each way of judging says of them.

Four ways: the reference reads facts; `evaluate` reads the snapshot; `Machine` runs the
ruleset's texts; a real kernel judges real packets. Every way names the grant.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_address, ip_network
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from policies.compiler.conditions import (
    ApprovedDevice,
    MaxAge,
    Requirement,
    Strength,
)
from policies.compiler.evaluate import Packet, verdict
from policies.compiler.leases import closed_leases, less_withheld
from policies.compiler.machine import Arrival, Machine
from policies.compiler.nftables import ruleset
from policies.compiler.ranges import address_family
from policies.compiler.regions import TCP, UDP
from policies.compiler.strictness import ORDINARY, Evidence, Strictness
from policies.compiler.types import (
    NEVER,
    Application,
    Authentication,
    Destination,
    Device,
    Facts,
    IPAddress,
    Protocol,
    Resolved,
)
from tests.policies.compiler.build import (
    NOW,
    application,
    destination,
    device,
    facts,
    grant,
    hours,
    proof,
    snapshot,
)
from tests.policies.compiler.kernel import Kernel
from tests.policies.compiler.reference import (
    ICMP,
    ICMPV6,
    NUMBERS,
    WELL,
    Health,
    answer,
)
from tests.policies.compiler.wire import install_table, sent

HOUR: Final = timedelta(hours=1)
BERLIN: Final = ZoneInfo("Europe/Berlin")
TIMES: Final = (
    *((NOW - HOUR, NEVER),) * 4,
    *((NOW, NOW + HOUR),) * 2,
    (NOW - HOUR, NOW),
    (NOW + HOUR, NEVER),
)
SHORTLY: Final = timedelta(minutes=5)
"""What is left of a sign-in that is nearly too old: a kernel ends it by itself, and
must not before it has judged every packet, however busy the machine."""
WEEKS: Final = (
    *(None,) * 8,
    hours("mon-fri 08:00-18:00"),
    hours("mon 12:00-12:01, mon 12:01-13:00"),
    hours("mon 11:00-12:00, tue-sun 00:00-24:00"),
    # In Berlin it is 13:00.
    hours("mon 13:00-24:00", BERLIN),
    hours("mon 08:00-13:00", BERLIN),
)
"""NOW is a Monday, at noon in UTC."""
TERMS: Final = (
    *(ORDINARY,) * 4,
    Strictness(max_staleness=60),
    Strictness(max_staleness=120),
    Strictness(max_staleness=120, evidence=Evidence.BEST_EFFORT),
    Strictness(evidence=Evidence.BEST_EFFORT),
)
DEMANDS: Final[Sequence[Sequence[Requirement]]] = (
    *((),) * 8,
    (MaxAge(seconds=3600),),
    (MaxAge(seconds=3600), ApprovedDevice()),
    (MaxAge(seconds=8 * 3600), Strength(amr=("mfa",), acr=())),
    (Strength(amr=("mfa", "pwd"), acr=()),),
    (Strength(amr=("mfa",), acr=("gold", "silver")), ApprovedDevice()),
    (Strength(amr=(), acr=("gold",)),),
    (ApprovedDevice(),),
)
PREFIXES: Final = (
    *("10.0.0.0/8", "10.0.0.0/16", "10.0.128.0/17", "10.1.0.0/16", "10.0.0.4/31"),
    *("10.0.0.6/32", "10.0.0.7/32", "10.0.0.9/32", "0.0.0.0/0", "169.254.169.254/32"),
    *("fd20::/16", "fd20::/64", "fd20::6/127", "fd20::8/128", "fd20:1::/32", "::/0"),
)
HOSTS: Final = ("db.example.com", "wiki.example.com", "git.example.com")
ANSWERS: Final = (
    *("10.0.0.5", "10.0.0.7", "10.0.200.1", "10.1.2.3", "203.0.113.5"),
    *("169.254.169.254", "fd20::6", "fd20::8", "fd20:1::1"),
)
"""What names resolve to: shared, inside bounds and outside, and nobody's to grant."""
SERVICES: Final = (
    *("tcp 443", "tcp 80-443", "tcp 444-500", "tcp 1-65535", "tcp 445"),
    *("udp 53", "udp 54-65535", "udp 65535", "any", "icmp"),
)
PROTOCOLS: Final = (6, 6, 6, 17, 17, 17, 1, 58, 2, 5, 7, 16, 18, 50, 57, 253, 255)
ADMIN: Final = 90
"""A device, its owner and the owner's grant: whose packet always passes."""
HERE: Final = (ip_network("192.0.2.0/24"), ip_network("fd99::/64"))
"""The wire's own addresses: what goes there is not forwarded."""
UNROUTED: Final = (
    *map(ip_network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")),
    *map(ip_network, ("::/96", "fe80::/10", "ff00::/8")),
)
"""No kernel forwards these, whatever its rules say."""
SILENT: Final = frozenset({"no_device", "invalid"})
"""Denials whose log is rate-limited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A packet and what was said of it."""

    packet: Packet
    expected: str
    snapshot: str = ""
    machine: str = ""
    kernel: str = ""


def random_facts(random: Random) -> Facts:
    """Return a policy whose parts overlap, nest, touch, end and begin."""
    numbers = random.sample(range(1, 12), random.randint(4, 9))
    devices = [_device(random, number) for number in numbers]
    applications = [
        Application(
            id=n,
            destinations=tuple(_destinations(random)),
            strictness=random.choice(TERMS),
        )
        for n in range(1, random.randint(4, 9))
    ]
    subjects = ("us_1", "us_2", "us_3", "us_4", "gr_1", "gr_2", "gr_3")
    grants = []
    for number in range(1, random.randint(12, 28)):
        begins, ends = random.choice(TIMES)
        who, what = random.choice(subjects), random.randint(1, len(applications))
        grants.append(
            grant(
                number,
                who,
                what,
                not_before=begins,
                expires_at=ends,
                hours=random.choice(WEEKS),
                requires=random.choice(DEMANDS),
            )
        )
    return facts(
        devices=[*devices, device(ADMIN)],
        memberships={(random.randint(1, 5), random.randint(1, 3)) for _ in range(10)},
        applications=[*applications, _of_admin(random)],
        grants=[
            *random.sample(grants, len(grants)),
            grant(ADMIN, f"us_{ADMIN}", ADMIN),
        ],
        revoked_keys=[d.public_key for d in devices if random.random() < 0.1],
        proofs=[random_proof(random, user) for user in range(1, 6) if user != 3],
    )


def random_proof(random: Random, user: int) -> Authentication:
    """Return how somebody proved who they are: when, how, how well."""
    return proof(
        user,
        ago=random.choice((timedelta(0), HOUR, HOUR - SHORTLY, 3 * HOUR, None)),
        amr=random.choice(("", "pwd", "mfa pwd", "hwk mfa")),
        acr=random.choice(("", "silver", "gold")),
    )


def random_packets(given: Facts, random: Random, count: int) -> Sequence[Packet]:
    """Return packets at every edge of a policy and one beyond; the last one passes.

    Most speak the protocol of the destination at whose edge they are.
    """
    edges = [e for a in given.applications for d in a.destinations for e in _edges(d)]
    sources = [address for d in given.devices for address in d.addresses]
    strange = [ip_address("100.64.9.9"), ip_address("fd5e:e4a6:e000::9999")]
    odd = [ip_address("8.8.8.8"), ip_address("2001:db8::1"), *sources[:4]]
    packets: list[Packet] = []
    while len(packets) < count - 1:
        target, port, protocol = random.choice(edges)
        source = random.choice(sources if random.random() < 0.95 else strange)
        if random.random() < 0.05:
            target = random.choice(odd)
        if random.random() < 0.2:
            port = random.choice((0, 1, 22, 65535, random.choice(edges)[1]))
        if protocol is None or random.random() < 0.2:
            protocol = random.choice(PROTOCOLS)
        if source.version != target.version or any(target in own for own in HERE):
            continue
        ported = port if protocol in {6, 17} else None
        packets.append(
            Packet(source=source, destination=target, protocol=protocol, port=ported)
        )
    own = ip_address(f"100.64.0.{ADMIN}")
    there = ip_address("198.51.100.1")
    return [*packets, Packet(source=own, destination=there, protocol=6, port=443)]


def random_resolved(random: Random) -> Resolved:
    """Return what names stand for: most of them for something, for another while."""
    return {
        host: {
            ip_address(address): NOW + HOUR * random.randint(1, 3)
            for address in random.sample(ANSWERS, random.randint(3, 8))
        }
        for host in HOSTS
        if random.random() < 0.9
    }


def random_health(random: Random, given: Facts) -> Health:
    """Return how the gateway fares; while nothing is recorded, something goes on."""
    terms = [a.strictness for a in given.applications if a.id == ADMIN]
    return Health(
        silent_for=random.choice((0, 59, 60, 119, 120, 600)),
        is_recorded=terms == [ORDINARY] or random.random() < 0.5,
    )


def judged(
    given: Facts, resolved: Resolved, packets: Sequence[Packet], health: Health = WELL
) -> list[Disagreement]:
    """Return where the reference, the snapshot and the ruleset disagree."""
    compiled = snapshot(given)
    table = ruleset(compiled, interface="wg0", resolved=resolved)
    closed = closed_of(given, health)
    machine = Machine(table, now=NOW, closed=closed)
    left = less_withheld(compiled, closed)
    found = []
    for packet in packets:
        right = answer(given, packet, now=NOW, resolved=resolved, health=health)
        said = verdict(left, packet, now=NOW, resolved=resolved)
        ran = _plain(machine_says(machine, given, packet), closed)
        grants = tuple(g.id for g in said.grants)
        if ran != right.said or grants != right.grants:
            found.append(
                Disagreement(
                    packet=packet,
                    expected=right.said,
                    snapshot=f"{said.reason} {grants}",
                    machine=ran,
                )
            )
    return found


def kernel_judged(
    kernel: Kernel,
    given: Facts,
    resolved: Resolved,
    packets: Sequence[Packet],
    health: Health = WELL,
) -> list[Disagreement]:
    """Return where the reference and a kernel that loaded the ruleset disagree."""
    table = ruleset(snapshot(given), interface="wg0", resolved=resolved)
    closed = closed_of(given, health)
    install_table(kernel, table, closed=closed)
    packets = _beginnings(packets)
    heard = sent(kernel, packets)
    found = []
    for name, packet in enumerate(packets):
        right = answer(given, packet, now=NOW, resolved=resolved, health=health)
        expected = right.said
        said = _plain(heard.logged.get(name, "silent"), closed)
        if said.startswith("gt_") != (name in heard.passed):
            said = f"{said}, but passed: {name in heard.passed}"
        if said == "silent" and expected in SILENT:
            continue
        if said in {"silent", "input"} and _is_unrouted(packet):
            continue
        if said != expected:
            found.append(Disagreement(packet=packet, expected=expected, kernel=said))
    return found


def _beginnings(packets: Sequence[Packet]) -> list[Packet]:
    """Return packets of which each begins a flow, which is when a kernel judges it.

    A frame of a protocol without ports or numbers is of one flow between two hosts.
    """
    numbered = {TCP, UDP, ICMP, ICMPV6}
    return [
        *{
            (p.source, p.destination, p.protocol, n if p.protocol in numbered else 0): p
            for n, p in enumerate(packets)
        }.values()
    ]


def closed_of(given: Facts, health: Health) -> frozenset[str]:
    """Return the leases that an agent would not keep open."""
    return closed_leases(
        snapshot(given).applications,
        silent_for=health.silent_for,
        is_recorded=health.is_recorded,
    )


def _plain(said: str, closed: Collection[str]) -> str:
    """Return a denial as the reference knows it: closed leases are told apart."""
    return "no_grant" if closed and said == "withheld" else said


def machine_says(machine: Machine, given: Facts, packet: Packet) -> str:
    """Return what the ruleset's texts make of a packet."""
    inward = any(packet.destination in pool for pool in given.pools)
    foreign = packet.protocol == {4: ICMPV6, 6: ICMP}[address_family(packet.source)]
    outcome = machine.outcome(
        Arrival(
            came_from="wg0",
            goes_to="wg0" if inward else "lan",
            source=packet.source,
            destination=packet.destination,
            protocol=packet.protocol,
            port=packet.port,
            # Conntrack calls the other family's ICMP invalid.
            state="invalid" if foreign else "new",
        )
    )
    said = " ".join(outcome.logged)
    if said.startswith("gt_") == outcome.is_accepted:
        return said
    return f"{said}, but accepted: {outcome.is_accepted}"


def _of_admin(random: Random) -> Application:
    """Return the administrator's application, which is always open."""
    terms = random.choice((ORDINARY, Strictness(evidence=Evidence.BEST_EFFORT)))
    return application(ADMIN, "198.51.100.1/32 tcp 443", terms=terms)


def _device(random: Random, number: int) -> Device:
    """Return a device of one of five people, with one address or with several."""
    made = device(
        number,
        random.randint(1, 5),
        expires_at=random.choice(TIMES)[1],
        is_approved=random.random() < 0.5,
    )
    some = random.choice((made.addresses, made.addresses, made.addresses[:1]))
    more = ip_address(f"100.64.1.{number}")
    return replace(made, addresses=random.choice((some, (*some, more))))


def _destinations(random: Random) -> Sequence[Destination]:
    """Return a few destinations."""
    found = []
    for _ in range(random.randint(1, 4)):
        prefix, service = random.choice(PREFIXES), random.choice(SERVICES)
        if service == "icmp" and ":" in prefix:
            service = "icmpv6"
        host = f"{random.choice(HOSTS)}@" if random.random() < 0.35 else ""
        found.append(destination(f"{host}{prefix} {service}"))
    return found


def _edges(given: Destination) -> Sequence[tuple[IPAddress, int, int | None]]:
    """Return (address, port, protocol) at a destination's corners, and one beyond."""
    prefix, ports = given.prefix, given.ports
    highest = 2**prefix.max_prefixlen - 1
    first, last = int(prefix.network_address), int(prefix.broadcast_address)
    low, high = (ports.first, ports.last) if ports else (1, 65535)
    numbers = {n for n in (first - 1, first, last, last + 1) if 0 < n <= highest}
    numbers.add((first + last) // 2)
    if given.host:
        numbers = {int(a) for a in map(ip_address, ANSWERS) if a in prefix} or numbers
    edges = {p for p in (low - 1, low, high, high + 1) if 0 <= p <= 65535}
    if given.protocol is Protocol.ANY:
        edges |= {0, 443}
    make, protocol = type(prefix.network_address), NUMBERS.get(given.protocol)
    return [
        (make(number), port, protocol) for number in numbers for port in sorted(edges)
    ]


def _is_unrouted(packet: Packet) -> bool:
    """Return whether no kernel would forward it."""
    return any(packet.destination in prefix for prefix in UNROUTED)
