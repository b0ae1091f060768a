"""Hostile packets through a real kernel, byte by byte (attacks E01–E05, E07, E09–E11).

What WireGuard itself refuses, and flows across a revocation (E01, E06), are attacked
with real tunnels in `tests/gateway/netns`. Every rule here has its control: the same
packet without what makes it hostile comes out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import pytest

from gateway.netfilter import SWITCHES
from policies.compiler.evaluate import Packet
from policies.compiler.types import Facts
from tests.policies.compiler import frames
from tests.policies.compiler.build import application, grant, snapshot
from tests.policies.compiler.examples import company
from tests.policies.compiler.kernel import Kernel
from tests.policies.compiler.wire import Heard, install, sent_frames, wired_kernel

pytestmark = pytest.mark.netns

ALICE: Final = ip_address("100.64.0.1")
BOB: Final = ip_address("100.64.0.2")
BOB6: Final = ip_address("fd5e:e4a6:e000::2")
WIKI: Final = ip_address("10.20.0.1")
TCP, UDP, ICMP = 6, 17, 1
SYN, ACK = 0x02, 0x10
EVERYTHING: Final = ("0.0.0.0/0 any", "::/0 any")


def everything() -> Facts:
    """Return a policy that grants bob all there is: what stops him is built in."""
    return replace(
        company(),
        applications=(application(1, *EVERYTHING),),
        grants=(grant(1, "us_2", 1),),
    )


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """Lend a gateway between two wires: `tun` leads to devices, `net` elsewhere."""
    with wired_kernel() as lent:
        for device in (ALICE, BOB):
            beside = ("lladdr", "02:00:00:00:aa:02", "dev", "wg0")
            lent.run("ip", "neigh", "replace", str(device), *beside)
        yield lent


def packet(
    source: IPv4Address | IPv6Address = BOB,
    destination: IPv4Address | IPv6Address = WIKI,
    protocol: int = TCP,
    port: int | None = 443,
) -> Packet:
    """Return bob's packet to the wiki, or one that differs in something."""
    return Packet(source=source, destination=destination, protocol=protocol, port=port)


def heard(kernel: Kernel, packets: Sequence[Packet]) -> Heard:
    """Send packets and a control; return what came of them, the control left out."""
    control = packet(port=80)
    made = [frames.frame(p, n) for n, p in enumerate((*packets, control))]
    found = sent_frames(kernel, made)
    assert len(packets) in found.passed
    return replace(found, passed=found.passed - {len(packets)})


def test_e01_inner_source_of_nobody_is_dropped(kernel: Kernel) -> None:
    install(kernel, snapshot(company()))
    strange = ("100.64.9.9", "10.20.0.1", "192.0.2.1", "8.8.8.8")
    found = heard(kernel, [packet(), *(packet(ip_address(s)) for s in strange)])
    assert found.passed == {0}
    assert {found.logged[n] for n in (1, 4)} == {"no_device"}


def test_e02_ipv6_is_closed_by_the_same_table(kernel: Kernel) -> None:
    install(kernel, snapshot(company()))
    inside, outside = ip_address("fd20::7"), ip_address("fd21::7")
    found = heard(kernel, [packet(BOB6, inside), packet(BOB6, outside)])
    assert found.passed == {0}
    assert found.logged[1] == "no_grant"


def test_e03_a_device_reaches_no_other_device(kernel: Kernel) -> None:
    install(kernel, snapshot(everything()))
    there = (ALICE, ip_address("fd5e:e4a6:e000::1"))
    hosts = (packet(BOB, there[0], UDP, 53), packet(BOB6, there[1], UDP, 53))
    found = heard(kernel, [*hosts, packet(BOB, WIKI, UDP, 53)])
    assert found.passed == {2}
    assert {found.logged[n] for n in (0, 1)} == {"lateral"}


@pytest.mark.parametrize("port", [22, 53, 51820, 80])
def test_e04_the_gateway_itself_answers_no_device(kernel: Kernel, port: int) -> None:
    install(kernel, snapshot(everything()))
    gateway = (ip_address("192.0.2.1"), ip_address("fd99::1"))
    found = heard(
        kernel,
        [
            packet(BOB, gateway[0], TCP, port),
            packet(BOB, gateway[0], UDP, port),
            packet(BOB6, gateway[1], TCP, port),
        ],
    )
    assert found.passed == set()
    assert {found.logged[n] for n in range(3)} == {"input"}


FORBIDDEN: Final = (
    *("169.254.169.254", "169.254.1.1", "255.255.255.255", "240.0.0.1"),
    *("224.0.0.1", "239.255.255.250", "127.0.0.1", "0.0.0.1"),
    *("fe80::1", "ff02::1", "::1", "::ffff:169.254.169.254"),
)


@pytest.mark.parametrize("there", FORBIDDEN)
def test_e04_no_policy_opens_metadata_multicast_or_loopback(
    kernel: Kernel, there: str
) -> None:
    install(kernel, snapshot(everything()))
    source = BOB6 if ":" in there else BOB
    allowed = ip_address("fd20::7" if ":" in there else "9.9.9.9")
    found = heard(
        kernel, [packet(source, ip_address(there), TCP, 80), packet(source, allowed)]
    )
    assert found.passed == {1}


def test_e05_the_listen_port_as_a_source_port_takes_nobody_s_place(
    kernel: Kernel,
) -> None:
    install(kernel, snapshot(everything()))
    shadow = udp(BOB, WIKI, 51820, 51820, 0)
    again = udp(ALICE, WIKI, 51820, 51820, 1)
    control = frames.frame(packet(), 2)
    assert sent_frames(kernel, [shadow, again, control]).passed == {0, 2}
    entry = kernel.run("conntrack", "-L", "-s", str(BOB))
    # No address is translated, so no flow can take another's place.
    assert "src=10.20.0.1 dst=100.64.0.2 sport=51820 dport=51820" in entry
    assert "nat" not in kernel.run("nft", "list", "ruleset")


def test_e07_a_middle_of_a_connection_begins_none(kernel: Kernel) -> None:
    install(kernel, snapshot(company()))
    middle = tcp(BOB, WIKI, 443, ACK, 0)
    assert heard_frames(kernel, [middle, tcp(BOB, WIKI, 443, SYN, 1)]) == {1}
    # The rule stands by itself: also where the kernel picks connections up.
    kernel.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=1")
    kernel.run("conntrack", "-F")
    assert heard_frames(kernel, [tcp(BOB, WIKI, 443, ACK, 2)]) == set()
    assert ("net/netfilter/nf_conntrack_tcp_loose", "0") in SWITCHES


def test_e09_a_device_s_address_from_the_uplink_is_dropped(kernel: Kernel) -> None:
    install(kernel, snapshot(everything()))
    inwards = udp(IPv4Address("9.9.9.9"), BOB, 53, 53, 0)
    forged = udp(BOB, ALICE, 53, 53, 1)
    onwards = udp(BOB, IPv4Address("9.9.9.9"), 53, 53, 2)
    # Control: an answer to what bob asked does come in.
    assert heard_frames(kernel, [udp(BOB, WIKI, 4000, 53, 3)]) == {3}
    answer = udp(WIKI, BOB, 53, 4000, 4)
    made = [relinked(f) for f in (inwards, forged, onwards, answer)]
    found = sent_frames(kernel, made, on="net", hear="tun")
    assert found.passed == {4}
    assert found.logged[0] == "unsolicited"


def test_e10_fragments_are_judged_as_the_datagram_they_make(kernel: Kernel) -> None:
    install(kernel, snapshot(company()))
    allowed, refused = fragments(port=53, name=0), fragments(port=54, name=1)
    assert heard_frames(kernel, [*allowed, *refused]) == {0}
    # A later piece without its first, and one that would overwrite the port.
    alone = fragments(port=53, name=2)[1:]
    first, rest = fragments(port=53, name=3)
    overlapping = at_offset(rest, 0)
    assert heard_frames(kernel, [*alone, first, overlapping]) == set()


def test_e10_ip_options_open_nothing(kernel: Kernel) -> None:
    install(kernel, snapshot(company()))
    source_route = b"\x83\x07\x04" + WIKI.packed + b"\x00"
    padded = with_options(tcp(BOB, WIKI, 443, SYN, 0), b"\x01\x01\x01\x00")
    routed = with_options(tcp(BOB, WIKI, 443, SYN, 1), source_route)
    elsewhere = with_options(tcp(BOB, WIKI, 79, SYN, 2), b"\x01\x01\x01\x00")
    found = heard_frames(kernel, [padded, routed, elsewhere])
    assert found == {0}


def test_e10_icmp_errors_belong_to_a_flow_or_are_dropped(kernel: Kernel) -> None:
    install(kernel, snapshot(everything()))
    mine, other = udp(BOB, WIKI, 4000, 53, 0), udp(BOB, WIKI, 4001, 53, 1)
    assert heard_frames(kernel, [mine]) == {0}
    answers = [relinked(unreachable(f, n)) for n, f in ((2, other), (3, mine))]
    assert sent_frames(kernel, answers, on="net", hear="tun").passed == {3}


@pytest.mark.parametrize("protocol", [0, 2, 41, 47, 50, 132, 255])
def test_e10_a_protocol_that_is_not_granted_does_not_pass(
    kernel: Kernel, protocol: int
) -> None:
    install(kernel, snapshot(company()))
    assert heard(kernel, [packet(protocol=protocol, port=None)]).passed == set()


def test_e10_port_zero_is_in_no_range(kernel: Kernel) -> None:
    policy = replace(
        company(),
        applications=(application(1, "10.20.0.0/22 tcp 1-65535"),),
        grants=(grant(1, "gr_4", 1),),
    )
    install(kernel, snapshot(policy))
    assert heard(kernel, [packet(port=0), packet(port=1)]).passed == {1}


def test_e11_one_device_cannot_fill_the_table_of_flows(kernel: Kernel) -> None:
    install(kernel, snapshot(everything_for_two()))
    running = udp(ALICE, WIKI, 9, 53, 0)
    assert heard_frames(kernel, [running]) == {0}
    answer = relinked(udp(WIKI, ALICE, 53, 9, 1))
    assert sent_frames(kernel, [answer], on="net", hear="tun").passed == {1}
    flood = [udp(ALICE, WIKI, 10 + n, 53, 10 + n) for n in range(FLOOD)]
    bob = [udp(BOB, WIKI, 10 + n, 53, FLOOD + 10 + n) for n in range(50)]
    passed = sent_frames(kernel, [*flood, *bob]).passed
    mallory = sum(1 for n in passed if n < FLOOD + 10)
    assert 6_000 < mallory < 12_000
    assert passed >= {FLOOD + 10 + n for n in range(50)}
    held = kernel.run("conntrack", "-L", "-s", str(ALICE)).count("src=100.64.0.1")
    assert held <= mallory + 1
    # What is open goes on; new flows do again when the time is over.
    again = udp(ALICE, WIKI, 9, 53, 1)
    new = udp(ALICE, WIKI, 8, 53, 2)
    assert heard_frames(kernel, [again, new]) == {1}
    kernel.load("flush set inet peerage_wg0 crowded\nflush set inet peerage_wg0 opened")
    assert heard_frames(kernel, [new]) == {2}


def test_e11_without_its_rule_the_table_would_be_filled(kernel: Kernel) -> None:
    install(kernel, snapshot(everything_for_two()))
    kernel.load("flush chain inet peerage_wg0 crowd")
    flood = [udp(ALICE, WIKI, 10 + n, 53, 10 + n) for n in range(FLOOD)]
    assert len(heard_frames(kernel, flood)) == FLOOD


def test_a_flow_that_nobody_answers_is_no_flood(kernel: Kernel) -> None:
    install(kernel, snapshot(everything_for_two()))
    stream = [udp(ALICE, WIKI, 8, 514, n) for n in range(FLOOD)]
    assert len(heard_frames(kernel, stream)) == FLOOD
    # Nor is it cut because its device begins too many others.
    flood = [udp(ALICE, WIKI, 10 + n, 53, 10 + n) for n in range(FLOOD)]
    assert len(heard_frames(kernel, flood)) < FLOOD
    assert heard_frames(kernel, stream[:1]) == {0}


def test_a_flow_that_nobody_answers_ends_with_its_device(kernel: Kernel) -> None:
    install(kernel, snapshot(everything_for_two()))
    assert heard_frames(kernel, [udp(ALICE, WIKI, 8, 514, 1)]) == {1}
    kernel.load(f"delete element inet peerage_wg0 device4 {{ {ALICE} }}")
    assert heard_frames(kernel, [udp(ALICE, WIKI, 8, 514, 2)]) == set()


FLOOD: Final = 30_000


def everything_for_two() -> Facts:
    """Return a policy that grants alice and bob all there is."""
    return replace(everything(), grants=(grant(1, "gr_4", 1),))


def heard_frames(kernel: Kernel, made: Sequence[bytes]) -> set[int]:
    """Send frames and a control; return the names that came out, it left out."""
    control = frames.frame(packet(port=80), 2**31)
    found = sent_frames(kernel, [*made, control]).passed
    assert 2**31 in found
    return found - {2**31}


# Frames, byte by byte


def udp(
    source: IPv4Address | IPv6Address,
    destination: IPv4Address | IPv6Address,
    sport: int,
    dport: int,
    name: int,
) -> bytes:
    """Return a datagram."""
    body = struct.pack("!HHHH", sport, dport, 16, 0) + struct.pack(
        "!4sI", b"PEER", name
    )
    return framed(source, destination, UDP, body)


def tcp(
    source: IPv4Address | IPv6Address,
    destination: IPv4Address | IPv6Address,
    port: int,
    flags: int,
    name: int,
) -> bytes:
    """Return a segment with these flags."""
    head = struct.pack("!HHIIBBHHH", 5000 + name, port, 1, 1, 0x50, flags, 1024, 0, 0)
    return framed(source, destination, TCP, head + struct.pack("!4sI", b"PEER", name))


def framed(
    source: IPv4Address | IPv6Address,
    destination: IPv4Address | IPv6Address,
    protocol: int,
    body: bytes,
    *,
    options: bytes = b"",
    fragment: int = 0,
    number: int = 1,
) -> bytes:
    """Return a frame with an IPv4 header; `fragment` is its flags and offset."""
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | (5 + len(options) // 4),
        0,
        20 + len(options) + len(body),
        number,
        fragment,
        64,
        protocol,
        0,
        source.packed,
        destination.packed,
    )
    head += options
    checksum = struct.pack("!H", frames.checksum(head))
    head = head[:10] + checksum + head[12:]
    return frames.GATEWAY_MAC + frames.SOURCE_MAC + b"\x08\x00" + head + body


def parts(frame: bytes) -> tuple[IPv4Address, IPv4Address, int, bytes]:
    """Return source, destination, protocol and body of a frame without options."""
    head, body = frame[14:34], frame[34:]
    return IPv4Address(head[12:16]), IPv4Address(head[16:20]), head[9], body


def with_options(frame: bytes, options: bytes) -> bytes:
    """Return the frame with IP options."""
    source, destination, protocol, body = parts(frame)
    return framed(source, destination, protocol, body, options=options)


def relinked(frame: bytes) -> bytes:
    """Return the frame as the wire to the applications carries it."""
    return bytes.fromhex("02000000aa03") + frame[6:]


def fragments(*, port: int, name: int) -> list[bytes]:
    """Return a datagram of bob's to the wiki in two pieces."""
    body = struct.pack("!HHHH", 6000 + name, port, 8 + 16 + 8, 0) + b"x" * 16
    body += struct.pack("!4sI", b"PEER", name)
    more = 0x2000
    return [
        framed(BOB, WIKI, UDP, body[:24], fragment=more, number=100 + name),
        framed(BOB, WIKI, UDP, body[24:], fragment=3, number=100 + name),
    ]


def at_offset(frame: bytes, offset: int) -> bytes:
    """Return the last piece of a datagram at another place of it."""
    source, destination, protocol, body = parts(frame)
    (number,) = struct.unpack("!H", frame[18:20])
    return framed(source, destination, protocol, body, fragment=offset, number=number)


def unreachable(frame: bytes, name: int) -> bytes:
    """Return what a host says of a datagram nobody takes (RFC 792)."""
    _, destination, _, _ = parts(frame)
    quoted = frame[14:42]
    message = struct.pack("!BBHI", 3, 3, 0, 0) + quoted
    message += struct.pack("!4sI", b"PEER", name)
    return framed(destination, BOB, ICMP, message)
