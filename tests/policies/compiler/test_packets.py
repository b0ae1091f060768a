"""Real packets through a real kernel: its verdict is the snapshot's, at every edge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest

from policies.compiler.evaluate import Packet, verdict
from policies.compiler.nftables import closed_text, ruleset, transaction
from policies.compiler.types import Snapshot
from tests.policies.compiler.build import NOW, application, grant, snapshot
from tests.policies.compiler.examples import company
from tests.policies.compiler.kernel import Kernel
from tests.policies.compiler.strategies import edge_packets
from tests.policies.compiler.wire import install, sent, wired_kernel

pytestmark = pytest.mark.netns

CONTROL = Packet(
    source=ip_address("100.64.0.2"),
    destination=ip_address("10.20.0.1"),
    protocol=6,
    port=443,
)


@pytest.fixture(scope="module")
def wired() -> Iterator[Kernel]:
    """Lend a gateway between two wires: `tun` leads to devices, `net` elsewhere."""
    with wired_kernel() as lent:
        yield lent


def passed(kernel: Kernel, packets: Sequence[Packet]) -> set[int]:
    """Return which packets came out, by their place."""
    return sent(kernel, packets).passed


def overlapping() -> Snapshot:
    """Return a policy of nested and touching destinations, IPv4 and IPv6."""
    return snapshot(
        replace(
            company(),
            applications=(
                application(1, "10.0.0.0/8 tcp 80-443", "fd20::/16 tcp 1-65535"),
                application(2, "10.0.0.4/30 any", "fd20::6/127 any"),
                application(3, "10.0.0.7/32 tcp 443-444", "10.0.0.8/32 udp 53"),
                application(4, "0.0.0.0/0 icmp", "::/0 icmpv6", "::/0 udp 53"),
            ),
            grants=(
                grant(1, "gr_4", 1),
                grant(2, "us_2", 2),
                grant(3, "us_3", 3),
                grant(4, "us_3", 4),
            ),
        )
    )


@pytest.mark.parametrize(
    "policy", [snapshot(company()), overlapping()], ids=["company", "overlapping"]
)
def test_the_kernel_and_the_snapshot_agree_at_every_edge(
    wired: Kernel, policy: Snapshot
) -> None:
    install(wired, policy)
    packets = [*edge_packets(policy, seed=7, count=2000), CONTROL]
    judged = [verdict(policy, packet, now=NOW) for packet in packets]
    expected = {n for n, found in enumerate(judged) if found.is_allowed}
    assert 100 < len(expected) < 1900
    found = passed(wired, packets)
    assert [(packets[n], n in found) for n in sorted(found ^ expected)] == []


def test_a_planted_hole_is_found(wired: Kernel) -> None:
    policy = snapshot(company())
    install(wired, policy)
    hole = "{ 10.20.0.0-10.20.0.255 . 79 : goto app_1 }"
    wired.load(f"add element inet peerage_wg0 tcp4 {hole}\n")
    beside = replace(CONTROL, port=79)
    assert not verdict(policy, beside, now=NOW).is_allowed
    assert passed(wired, [beside, CONTROL]) == {0, 1}


def test_without_a_lease_nothing_passes(wired: Kernel) -> None:
    install(wired, snapshot(company()))
    assert passed(wired, [CONTROL]) == {0}
    wired.load(closed_text("wg0"))
    assert passed(wired, [CONTROL]) == set()


def test_a_device_that_is_gone_passes_nothing(wired: Kernel) -> None:
    install(wired, snapshot(company()))
    have = ruleset(snapshot(company()), interface="wg0")
    less = replace(company(), memberships=((1, 4),))
    want = ruleset(snapshot(less), interface="wg0")
    wired.load(transaction(have, want, now=NOW))
    alice = replace(CONTROL, source=ip_address("100.64.0.1"))
    assert passed(wired, [CONTROL, alice]) == {1}


def test_a_flow_carries_its_device_as_mark(wired: Kernel) -> None:
    install(wired, snapshot(company()))
    carol = Packet(
        source=ip_address("fd5e:e4a6:e000::3"),
        destination=ip_address("fd30::1"),
        protocol=17,
        port=9,
    )
    assert passed(wired, [carol, CONTROL]) == {0, 1}
    four, six = (
        wired.run("conntrack", "-L", "-f", family, "-m", mark)
        for family, mark in (("ipv4", "2"), ("ipv6", "3"))
    )
    assert "dst=10.20.0.1" in four
    assert "dst=fd30::1" in six


def test_the_log_of_a_grant_counts_what_passed(wired: Kernel) -> None:
    install(wired, snapshot(company()))
    passed(wired, [CONTROL, replace(CONTROL, port=22)])
    listed = wired.run("nft", "list", "chain", "inet", "peerage_wg0", "app_1")
    assert 'counter packets 1 bytes 48 log prefix "gt_10/ap_1"' in listed
    denied = wired.run("nft", "list", "chain", "inet", "peerage_wg0", "deny_no_grant")
    assert "counter packets 1 " in denied
