"""Rules of the values."""

from __future__ import annotations

from datetime import timedelta

import pytest

from policies.compiler.errors import HostBitsError, InvalidValueError
from policies.compiler.types import (
    NEVER,
    Destination,
    PortRange,
    Protocol,
    address,
    is_live,
    network,
    remaining,
    sorted_networks,
)
from tests.policies.compiler.build import NOW, destination


@pytest.mark.parametrize(("first", "last"), [(0, 80), (80, 65536), (0, 0), (-1, 5)])
def test_ports_out_of_range_are_refused(first: int, last: int) -> None:
    with pytest.raises(InvalidValueError, match="1 to 65535"):
        PortRange(first=first, last=last)


def test_a_reversed_port_range_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="443-80 is reversed"):
        PortRange(first=443, last=80)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_tcp_and_udp_need_ports(protocol: str) -> None:
    with pytest.raises(InvalidValueError, match="needs ports"):
        destination(f"10.0.0.0/8 {protocol}")


@pytest.mark.parametrize("protocol", ["any", "icmp"])
def test_other_protocols_take_no_ports(protocol: str) -> None:
    with pytest.raises(InvalidValueError, match="takes no ports"):
        destination(f"10.0.0.0/8 {protocol} 80")


@pytest.mark.parametrize(
    ("prefix", "protocol"),
    [("10.0.0.0/8", Protocol.ICMPV6), ("fd00::/8", Protocol.ICMP)],
)
def test_icmp_belongs_to_its_family(prefix: str, protocol: Protocol) -> None:
    with pytest.raises(InvalidValueError, match="does not exist on"):
        Destination(prefix=network(prefix), protocol=protocol, ports=None)


def test_host_bits_are_refused_with_the_network_meant() -> None:
    with pytest.raises(HostBitsError, match=r"did you mean 10\.0\.0\.0/8"):
        network("10.1.2.3/8")


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.0/33", "010.0.0.0/8", "fe80::1%eth0/128", "any", "::ffff:1.2.3.4/128"],
)
def test_what_is_no_prefix_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        network(text)


@pytest.mark.parametrize("text", ["", "10.0.0.1/32", "fe80::1%eth0", "::ffff:1.2.3.4"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        address(text)


def test_a_grant_is_live_from_its_beginning_until_before_its_end() -> None:
    later = NOW + timedelta(seconds=1)
    assert is_live(NOW, later, now=NOW)
    assert not is_live(NOW, later, now=later)
    assert not is_live(later, NEVER, now=NOW)


def test_never_has_no_remaining_time() -> None:
    assert remaining(NEVER, now=NOW) is None
    assert remaining(NOW + timedelta(hours=1), now=NOW) == timedelta(hours=1)


def test_networks_sort_by_family_then_address() -> None:
    networks = [network(text) for text in ("fd00::/8", "10.0.0.0/8", "9.0.0.0/8")]
    assert [str(n) for n in sorted_networks(networks)] == [
        "9.0.0.0/8",
        "10.0.0.0/8",
        "fd00::/8",
    ]
