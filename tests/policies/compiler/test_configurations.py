"""A generated configuration says exactly what was meant, also to the real tools.

Attacks D01, D02, D07: a field that begins another line gives a peer everything, or runs
a command as root. Here random configurations go through wg-quick(8) and wg(8).
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.files import checked_config
from policies.compiler.errors import InvalidValueError
from policies.compiler.types import IPAddress, IPNetwork
from policies.compiler.wireguard import ClientPeer, client_config, with_private_key
from tests.policies.compiler.build import key
from tests.policies.compiler.kernel import Kernel

Ast: TypeAlias = list[tuple[str, list[tuple[str, str]]]]

PRIVATE: Final = "GPjnk7WwvhPMBvSo6Vo8OMSQo+iUYl/9u1PQGXZY/lo="
SOCKETS: Final = Path("/var/run/wireguard")
QUICKLY: Final = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=2, max_size=4).map(".".join)
four = st.integers(0x0B000000, 0x64000000).map(IPv4Address)
six = st.integers(0xFD << 120, (0xFE << 120) - 1).map(IPv6Address)
addresses = st.one_of(four, six)


@st.composite
def prefixes(draw: st.DrawFn) -> IPNetwork:
    """Draw a prefix without host bits."""
    address: IPAddress = draw(addresses)
    length = draw(st.integers(1, address.max_prefixlen))
    return ip_network(f"{address}/{length}", strict=False)


@st.composite
def peers(draw: st.DrawFn, hosts: st.SearchStrategy[str]) -> list[ClientPeer]:
    """Draw gateways whose prefixes are their own."""
    routed = draw(st.lists(prefixes(), max_size=8, unique=True))
    count = draw(st.integers(0, 3))
    return [
        ClientPeer(
            public_key=key(number + 1),
            endpoint_host=draw(hosts),
            endpoint_port=draw(st.integers(1, 65535)),
            allowed_ips=tuple(routed[number::count]),
        )
        for number in range(count)
    ]


own = st.lists(addresses, min_size=1, max_size=3, unique=True)
written = st.one_of(names, addresses.map(str))


def parsed(text: str) -> Ast:
    """Read a configuration as strictly as it is written; anything else fails."""
    found: Ast = []
    for line in text.removesuffix("\n").split("\n"):
        if line in {"[Interface]", "[Peer]"}:
            found.append((line[1:-1], []))
        elif line:
            name, separator, value = line.partition(" = ")
            assert separator, line
            found[-1][1].append((name, value))
    return found


def meant(addresses: Sequence[IPAddress], peers: Sequence[ClientPeer]) -> Ast:
    """Return what a device with these addresses and gateways should have."""
    ordered = sorted(addresses, key=lambda a: (a.version, int(a)))
    hosts = ", ".join(f"{a}/{a.max_prefixlen}" for a in ordered)
    found: Ast = [("Interface", [("PrivateKey", PRIVATE), ("Address", hosts)])]
    for peer in peers:
        if peer.allowed_ips:
            is_six = ":" in peer.endpoint_host
            host = f"[{peer.endpoint_host}]" if is_six else peer.endpoint_host
            fields = [
                ("PublicKey", peer.public_key),
                ("AllowedIPs", ", ".join(map(str, peer.allowed_ips))),
                ("Endpoint", f"{host}:{peer.endpoint_port}"),
                ("PersistentKeepalive", "25"),
            ]
            found.append(("Peer", fields))
    return found


def whole(addresses: Sequence[IPAddress], peers: Sequence[ClientPeer]) -> str:
    return with_private_key(client_config(addresses, peers), PRIVATE)


@given(held=own, gateways=peers(written))
def test_a_configuration_is_what_was_meant(
    held: list[IPAddress], gateways: list[ClientPeer]
) -> None:
    """Attack D01: every line is one that was meant, and none is missing."""
    assert parsed(whole(held, gateways)) == meant(held, gateways)


@given(held=own, gateways=peers(written))
def test_the_command_line_takes_every_configuration_of_ours(
    held: list[IPAddress], gateways: list[ClientPeer]
) -> None:
    text = client_config(held, gateways)
    assert checked_config(text) == text


@QUICKLY
@given(held=own, gateways=peers(written))
def test_wg_quick_reads_what_was_meant(
    held: list[IPAddress], gateways: list[ClientPeer], tmp_path: Path
) -> None:
    """Attack D07: what wg-quick(8) leaves for wg(8) is all but its own address."""
    path = tmp_path / "device.conf"
    path.touch(mode=0o600)
    path.write_text(whole(held, gateways))
    stripped = subprocess.run(
        ["wg-quick", "strip", str(path)], capture_output=True, text=True, check=True
    )
    wanted = meant(held, gateways)
    wanted[0][1].pop()
    assert parsed(stripped.stdout) == wanted


@pytest.fixture(scope="module")
def interface() -> Iterator[tuple[Kernel, str]]:
    """Lend a WireGuard interface in a namespace of its own."""
    name = f"cfg{os.getpid() % 10**8}"
    with Kernel() as lent:
        process = subprocess.Popen(
            lent.inside("wireguard-go", "--foreground", name),
            env={**os.environ, "WG_PROCESS_FOREGROUND": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 10
            while not (SOCKETS / f"{name}.sock").exists():
                assert time.monotonic() < deadline, "wireguard-go does not start"
                time.sleep(0.01)
            yield lent, name
        finally:
            process.terminate()
            process.wait(5)


@pytest.mark.netns
@QUICKLY
@given(held=own, gateways=peers(addresses.map(str)))
def test_wg_holds_what_was_meant(
    held: list[IPAddress], gateways: list[ClientPeer], interface: tuple[Kernel, str]
) -> None:
    """Attack D02: no peer gets an address, endpoint or key that was not its own."""
    kernel, name = interface
    lines = whole(held, gateways).splitlines()
    text = "\n".join(line for line in lines if not line.startswith("Address"))
    kernel.run("wg", "setconf", name, "/dev/stdin", given=f"{text}\n")
    _, *told = kernel.run("wg", "show", name, "dump").splitlines()
    found = {}
    for line in told:
        public, _, endpoint, allowed, *_, keepalive = line.split("\t")
        found[public] = (endpoint, {*allowed.split(",")}, keepalive)
    assert found == {
        peer.public_key: (peer.endpoint, {*map(str, peer.allowed_ips)}, "25")
        for peer in gateways
        if peer.allowed_ips
    }


BREAKOUTS: Final = (
    *("x\nPostUp = touch pwned", "x\n[Peer]", "x\r\nDNS = 1.1.1.1", "x\x00", "x y"),
    *("1.1.1.1\nAllowedIPs = 0.0.0.0/0", "x#", "x;id", "$(id)", "`id`", "x,y", "x=y"),
    *("[::1", "::1]", "[::1]:80", "x:22", "\u2028", "x\u2028DNS = 1", "\u212a.example"),
)


@pytest.mark.parametrize("host", BREAKOUTS, ids=ascii)
def test_no_host_begins_another_line_or_field(host: str) -> None:
    """Attack D07: an endpoint is a name or an address, whoever set it."""
    with pytest.raises(InvalidValueError):
        ClientPeer(
            public_key=key(1),
            endpoint_host=host,
            endpoint_port=51820,
            allowed_ips=(ip_network("10.0.0.0/8"),),
        )


@pytest.mark.parametrize("text", [*BREAKOUTS, key(1)[:-1], f"{key(1)}\n", f" {key(1)}"])
def test_no_key_begins_another_line_or_field(text: str) -> None:
    """Attack D07, the other text in a configuration."""
    with pytest.raises(InvalidValueError):
        ClientPeer(
            public_key=text,
            endpoint_host="gw.example",
            endpoint_port=51820,
            allowed_ips=(),
        )
    with pytest.raises(InvalidValueError):
        with_private_key(client_config([ip_address("100.64.0.2")], []), text)
