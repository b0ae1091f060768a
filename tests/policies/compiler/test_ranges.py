"""Rules of ranges."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, collapse_addresses, ip_address
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from policies.compiler.errors import InvalidValueError
from policies.compiler.ranges import (
    Range,
    collapsed,
    merged,
    reader,
    speller,
    without,
)
from policies.compiler.types import IPAddress, address, network

ranges = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(
    lambda pair: (min(pair), max(pair))
)


def numbers(found: tuple[Range, ...]) -> set[int]:
    return {n for first, last in found for n in range(first, last + 1)}


@given(st.lists(ranges))
def test_merged_ranges_cover_the_same_and_never_touch(
    given_ranges: list[Range],
) -> None:
    result = merged(given_ranges)
    assert numbers(result) == numbers(tuple(given_ranges))
    assert all(a[1] + 1 < b[0] for a, b in pairwise(result))


@given(ranges, st.lists(ranges))
def test_holes_are_cut_out(wanted: Range, holes: list[Range]) -> None:
    result = without(wanted, merged(holes))
    assert numbers(result) == numbers((wanted,)) - numbers(tuple(holes))
    assert all(first <= last for first, last in result)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 32))))
def test_collapsing_agrees_with_ipaddress(pairs: list[tuple[int, int]]) -> None:
    networks = [IPv4Network((n >> (32 - p) << (32 - p), p)) for n, p in pairs]
    assert list(collapsed(networks)) == list(collapse_addresses(networks))


def test_both_families_collapse_side_by_side() -> None:
    texts = ("fd00::/65", "10.0.0.0/9", "fd00:0:0:0:8000::/65", "10.128.0.0/9")
    assert [str(n) for n in collapsed(network(t) for t in texts)] == [
        "10.0.0.0/8",
        "fd00::/64",
    ]


def test_the_whole_of_a_family_stays_whole() -> None:
    assert [str(n) for n in collapsed([network("::/0"), network("0.0.0.0/0")])] == [
        "0.0.0.0/0",
        "::/0",
    ]


def test_the_last_address_is_no_special_case() -> None:
    halves = [network("255.255.255.254/32"), network("255.255.255.255/32")]
    assert [str(n) for n in collapsed(halves)] == ["255.255.255.254/31"]


@given(
    st.lists(
        st.one_of(
            st.ip_addresses(),
            st.integers(0, 70_000).map(lambda n: ip_address((0xFD5E << 112) + n)),
            st.integers(0, 2**16).map(lambda n: ip_address(n << 96 | 1)),
        )
    )
)
def test_addresses_that_share_their_beginning_are_spelled_as_each_alone(
    addresses: list[IPAddress],
) -> None:
    spelled = speller()
    assert [spelled(address) for address in addresses] == [str(a) for a in addresses]


_READ = st.one_of(
    st.ip_addresses().map(str),
    st.tuples(
        st.sampled_from(
            ["100.64.0.", "10.0.", "fd5e::", "fd5e:", "::", "1:2:3:4:5:6:7:"]
        ),
        st.one_of(
            st.integers(0, 70_000).map(str),
            st.integers(0, 2**17).map("{:x}".format),
            st.sampled_from(["", "00", "A", "1.2.3.4", "1%eth0", "+1", "1 ", "1_0"]),
        ),
    ).map("".join),
    st.sampled_from(["::ffff:a00:1", "::ffff:a00:2", "::ffff:10.0.0.1", "x"]),
)


@given(st.lists(_READ))
def test_addresses_that_share_their_beginning_are_read_as_each_alone(
    texts: list[str],
) -> None:
    read = reader()
    assert [told(read, text) for text in texts] == [told(address, t) for t in texts]


def told(read: Callable[[str], IPAddress], text: str) -> IPAddress | str:
    try:
        return read(text)
    except InvalidValueError as exc:
        return str(exc)
