"""Rules of regions."""

from __future__ import annotations

from itertools import combinations
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from policies.compiler.evaluate import Packet, spans
from policies.compiler.ranges import Range, address_family
from policies.compiler.regions import HOSTS, Region, regions
from policies.compiler.types import Application, Facts
from tests.policies.compiler.build import application, facts, grant, snapshot
from tests.policies.compiler.strategies import edge_packets, policies


def label(cut: tuple[Region, ...], packet: Packet) -> tuple[int, ...]:
    """Return the applications of the region a packet falls into, as the kernel does."""
    family, ported = address_family(packet.destination), packet.protocol in {6, 17}
    found = [
        region.applications
        for region in cut
        if region.family == family
        and _within(int(packet.destination), region.addresses)
        and _within(packet.protocol, region.protocols)
        and (region.ports is not None) == ported
        and (region.ports is None or _within(packet.port or 0, region.ports))
    ]
    assert len(found) <= 1
    return found[0] if found else ()


def _within(number: int, span: Range) -> bool:
    return span[0] <= number <= span[1]


def _meet(left: Range | None, right: Range | None) -> bool:
    if left is None or right is None:
        return left is right
    return left[0] <= right[1] and right[0] <= left[1]


def everything(given_facts: Facts) -> tuple[Application, ...]:
    return given_facts.applications


@given(policies())
def test_regions_are_disjoint(given_facts: Facts) -> None:
    for left, right in combinations(regions(everything(given_facts)), 2):
        assert not (
            left.family == right.family
            and _meet(left.addresses, right.addresses)
            and _meet(left.protocols, right.protocols)
            and _meet(left.ports, right.ports)
        )


@given(policies(), st.integers(0, 1000))
def test_a_region_names_exactly_the_applications_that_cover_it(
    given_facts: Facts, seed: int
) -> None:
    applications = everything(given_facts)
    cut = regions(applications)
    granted = [grant(a.id, "us_1", a.id) for a in applications]
    whole = snapshot(facts(applications=applications, grants=granted))
    for packet in edge_packets(whole, seed=seed, count=40):
        covering = {
            HOSTS if d.host else a.id
            for a in applications
            for d in a.destinations
            if spans(d, packet)
        }
        naive = tuple(sorted(covering))
        assert label(cut, packet) == naive


@given(policies(), st.randoms(use_true_random=False))
def test_order_of_applications_never_matters(
    given_facts: Facts, random: Random
) -> None:
    applications = everything(given_facts)
    turned = random.sample(applications, len(applications))
    assert regions(turned) == regions(applications)


def test_adjacent_prefixes_become_one_region() -> None:
    cut = regions([application(1, "10.20.0.4/31 tcp 80", "10.20.0.6/31 tcp 80")])
    assert cut == (Region(4, (0x0A140004, 0x0A140007), (6, 6), (80, 80), (1,)),)


def test_nested_prefixes_of_one_application_become_one_region() -> None:
    cut = regions([application(1, "10.0.0.0/8 tcp 80", "10.20.0.0/16 tcp 80")])
    assert len(cut) == 1


def test_adjacent_ports_become_one_region() -> None:
    cut = regions([application(1, "10.0.0.0/8 tcp 80", "10.0.0.0/8 tcp 81-90")])
    assert [region.ports for region in cut] == [(80, 90)]


def test_a_region_another_application_does_not_touch_stays_whole() -> None:
    cut = regions(
        [application(1, "10.0.0.0/8 tcp 443"), application(2, "10.1.0.0/16 tcp 80")]
    )
    assert len(cut) == 2


def test_any_covers_every_port_and_protocol_but_zero() -> None:
    cut = regions([application(1, "10.0.0.1/32 any")])
    assert [(r.protocols, r.ports) for r in cut] == [
        ((1, 5), None),
        ((6, 6), (1, 65535)),
        ((7, 16), None),
        ((17, 17), (1, 65535)),
        ((18, 57), None),
        ((59, 255), None),
    ]


def test_what_is_nobodys_to_grant_is_cut_out() -> None:
    wide = [application(1, "0.0.0.0/0 any", "::/0 any", "169.254.169.254/32 tcp 80")]
    starts = {region.addresses for region in regions(wide) if region.family == 4}
    assert starts == {
        (0x01000000, 0x7EFFFFFF),
        (0x80000000, 0xA9FDFFFF),
        (0xA9FF0000, 0xDFFFFFFF),
    }


def test_no_application_gives_no_region() -> None:
    assert regions([]) == ()
    assert regions([application(1)]) == ()


def test_two_thousand_applications_are_cut_into_few_regions() -> None:
    many = [
        application(n, f"10.{n >> 8}.{n & 255}.0/24 tcp 443", "10.0.0.0/8 udp 53")
        for n in range(1, 2001)
    ]
    cut = regions(many)
    assert len([region for region in cut if region.protocols == (6, 6)]) == 2000
    assert len([region for region in cut if region.protocols == (17, 17)]) == 1
