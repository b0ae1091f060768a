"""Overlapping and adjacent prefixes in the real kernel: the union, and nothing else.

Attacks D05 and D06. nft(8) refuses a whole transaction for two intervals that overlap,
and adjacent ones have been merged wrongly elsewhere; here every address is tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import Final

import pytest

from policies.compiler.evaluate import Packet
from policies.compiler.nftables import ruleset
from policies.compiler.ranges import Family
from policies.compiler.regions import FORBIDDEN
from policies.compiler.tables import Element
from policies.compiler.types import Facts, IPAddress
from tests.policies.compiler.build import application, device, facts, grant, snapshot
from tests.policies.compiler.kernel import Kernel
from tests.policies.compiler.wire import install, sent, wired_kernel

pytestmark = pytest.mark.netns

PORT: Final = 443
CONTROL: Final = "198.51.100.1"
"""What the injector needs last: a packet that passes."""

UNIONS: Final = {
    "adjacent halves": ("10.20.0.4/31", "10.20.0.6/31"),
    "adjacent, the other way": ("10.20.0.6/31", "10.20.0.4/31"),
    "adjacent singles": ("10.20.0.5/32", "10.20.0.6/32", "10.20.0.7/32"),
    "adjacent, not aligned": ("10.20.0.6/31", "10.20.0.8/30", "10.20.0.5/32"),
    "a gap of one": ("10.20.0.4/31", "10.20.0.7/32", "10.20.0.8/31"),
    "nested": ("10.20.0.0/28", "10.20.0.4/30", "10.20.0.5/32"),
    "the same twice": ("10.20.0.4/30", "10.20.0.4/30"),
    "nested at the beginning": ("10.20.0.4/30", "10.20.0.4/31"),
    "nested at the end": ("10.20.0.4/30", "10.20.0.6/31"),
    "IPv6, adjacent halves": ("fd20::4/127", "fd20::6/127"),
    "IPv6, nested": ("fd20::/124", "fd20::4/126", "fd20::5/128"),
    "IPv6, a gap of one": ("fd20::4/127", "fd20::7/128"),
}
LAYOUTS: Final = ("one application", "an application each", "a person each")


@pytest.fixture(scope="module")
def wired() -> Iterator[Kernel]:
    """Lend a gateway between two wires."""
    with wired_kernel() as lent:
        yield lent


def policy(
    prefixes: Sequence[str], layout: str = LAYOUTS[0], service: str = "tcp 443"
) -> Facts:
    """Return prefixes granted to the owner of device 1, laid out in three ways."""
    places = [f"{prefix} {service}" for prefix in prefixes]
    parts = [places] if layout == LAYOUTS[0] else [[place] for place in places]
    who = ["us_1", "gr_1"] if layout == LAYOUTS[2] else ["us_1"]
    return facts(
        devices=[device(1)],
        memberships=[(1, 1)],
        applications=[
            *(application(n, *part) for n, part in enumerate(parts, start=1)),
            application(90, f"{CONTROL}/32 tcp {PORT}"),
        ],
        grants=[
            *(grant(n, who[n % len(who)], n) for n in range(1, len(parts) + 1)),
            grant(90, "us_1", 90),
        ],
    )


def passed(
    kernel: Kernel, given: Facts, targets: Sequence[IPAddress], port: int = PORT
) -> set[IPAddress]:
    """Return which of these addresses a packet of device 1 gets to."""
    install(kernel, snapshot(given))
    sources = {a.version: a for a in given.devices[0].addresses}
    control = ip_address(CONTROL)
    packets = [
        Packet(source=sources[t.version], destination=t, protocol=6, port=p)
        for t, p in [*((target, port) for target in targets), (control, PORT)]
    ]
    found = sent(kernel, packets).passed
    return {target for place, target in enumerate(targets) if place in found}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("prefixes", UNIONS.values(), ids=UNIONS.keys())
def test_every_address_of_the_union_passes_and_none_beyond(
    prefixes: tuple[str, ...], layout: str, wired: Kernel
) -> None:
    """Attacks D05, D06: the sixteen addresses around, each with a real packet."""
    parts = [ip_network(prefix) for prefix in prefixes]
    around = parts[0].supernet(new_prefix=parts[0].max_prefixlen - 4)
    targets: list[IPAddress] = [*around]
    union = {t for t in targets if any(t in part for part in parts)}
    assert passed(wired, policy(prefixes, layout), targets) == union


def test_a_small_prefix_inside_a_large_one_loads_and_adds_nothing(
    wired: Kernel,
) -> None:
    """Attack D05, its own prefixes, at every edge."""
    given = policy(("10.0.0.0/8", "10.20.0.0/16"))
    edges = ("9.255.255.255", "10.0.0.0", "10.19.255.255", "10.20.0.0")
    more = ("10.20.255.255", "10.21.0.0", "10.255.255.255", "11.0.0.0")
    targets = [ip_address(text) for text in (*edges, *more)]
    assert passed(wired, given, targets) == set(targets[1:-1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "prefixes",
    [
        ("255.255.255.255/32",),
        ("255.255.255.254/31", "255.255.255.252/31"),
        ("255.255.255.0/24", "255.255.255.255/32"),
        ("240.0.0.0/4", "0.0.0.0/1"),
        ("0.0.0.0/0", "255.255.255.255/32"),
        ("0.0.0.0/0", "::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"),
        ("fffe::/16", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127"),
    ],
    ids=lambda prefixes: " ".join(prefixes)[:40],
)
def test_the_last_address_there_is_loads_and_is_granted_to_nobody(
    prefixes: tuple[str, ...], layout: str, wired: Kernel
) -> None:
    """Attack D06, the edge: a range that ends where addresses end."""
    given = policy(prefixes, layout)
    whole = ("0.0.0.0/0" in prefixes) + ("0.0.0.0/1" in prefixes)
    near = [ip_address(text) for text in ("10.20.0.4", "126.255.255.255")]
    assert passed(wired, given, near) == (set(near) if whole else set())
    mapped = wired.ruleset()
    assert ruleset(snapshot(given), interface="wg0").sets == mapped.sets
    maps = [named for named in mapped.sets if named.data_type == "verdict"]
    assert {named.key_type.split(" . ")[0] for named in maps} >= {
        "ipv4_addr",
        "ipv6_addr",
    }
    for named in maps:
        family: Family = 6 if named.key_type.startswith("ipv6") else 4
        assert not _touches(named.elements, FORBIDDEN[family])


def _touches(elements: Sequence[Element], holes: Sequence[tuple[int, int]]) -> bool:
    """Return whether an element names an address that is nobody's to grant."""
    for element in elements:
        first, _, last = element.key.split(" . ")[0].partition("-")
        begin, end = int(ip_address(first)), int(ip_address(last or first))
        if any(begin <= high and low <= end for low, high in holes):
            return True
    return False


@pytest.mark.parametrize(
    ("services", "ports"),
    [
        (("80-81", "82-83"), range(80, 84)),
        (("81", "80"), range(80, 82)),
        (("80-90", "85-95", "90"), range(80, 96)),
        (("65534", "65535"), range(65534, 65536)),
        (("1", "2-3"), range(1, 4)),
    ],
)
def test_adjacent_and_overlapping_ports_are_their_union(
    services: tuple[str, ...], ports: range, wired: Kernel
) -> None:
    """Attacks D05, D06 along the other axis."""
    target = ip_address("10.20.0.4")
    given = facts(
        devices=[device(1)],
        applications=[
            application(1, *(f"10.20.0.4/32 tcp {service}" for service in services)),
            application(90, f"{CONTROL}/32 tcp {PORT}"),
        ],
        grants=[grant(1, "us_1", 1), grant(90, "us_1", 90)],
    )
    tried = {p for p in range(ports.start - 2, ports.stop + 3) if 0 < p < 65536}
    found = {p for p in tried if passed(wired, given, [target], p)}
    assert found == set(ports)
