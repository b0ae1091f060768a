"""The kernel driver against messages as the kernel writes them.

The module does not exist where these tests run. What stands in for it answers with
bytes laid out by `linux/uapi/linux/wireguard.h`, which pyroute2 itself reads.
"""

from __future__ import annotations

import base64
import errno
import struct
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from types import TracebackType
from typing import Self

import pytest
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic.wireguard import wgmsg

from gateway import wireguard_kernel
from gateway.errors import WireGuardError
from gateway.types import Sighting
from gateway.wireguard import clamped
from gateway.wireguard_kernel import KernelWireGuard
from policies.compiler.types import network
from tests.gateway.world import private_text, public_text

NESTED = 0x8000
GET_DEVICE = 0
PRIVATE_KEY, LISTEN_PORT, PEERS = 3, 6, 8
PUBLIC, ENDPOINT, HANDSHAKE, RECEIVED, SENT, ALLOWED = 1, 4, 6, 7, 8, 9
FAMILY, ADDRESS, MASK = 1, 2, 3
INET, INET6 = 2, 10


def attribute(kind: int, data: bytes) -> bytes:
    """Return a netlink attribute, padded."""
    size = 4 + len(data)
    return struct.pack("HH", size, kind) + data + bytes(-size % 4)


def message(*attributes: bytes) -> wgmsg:
    """Return a message of generic netlink, read by pyroute2."""
    body = struct.pack("BBH", GET_DEVICE, 1, 0) + b"".join(attributes)
    made = wgmsg(struct.pack("IHHII", 16 + len(body), 28, 2, 1, 1) + body)
    made.decode()
    return made


def peers(*listed: bytes) -> bytes:
    """Return the peers of a device."""
    return attribute(
        PEERS | NESTED, b"".join(attribute(NESTED | n, p) for n, p in enumerate(listed))
    )


def peer(name: str, *more: bytes, prefixes: Iterable[str] = ()) -> bytes:
    """Return one peer with its prefixes."""
    inner = b""
    for number, text in enumerate(prefixes):
        prefix = network(text)
        inner += attribute(
            NESTED | number,
            attribute(FAMILY, struct.pack("H", INET if prefix.version == 4 else INET6))
            + attribute(ADDRESS, prefix.network_address.packed)
            + attribute(MASK, bytes([prefix.prefixlen])),
        )
    key = attribute(PUBLIC, base64.b64decode(public_text(name)))
    return key + b"".join(more) + attribute(ALLOWED | NESTED, inner)


def endpoint(host: str, port: int) -> bytes:
    """Return an endpoint as a socket address."""
    at = ip_address(host)
    if at.version == 4:
        return attribute(
            ENDPOINT, struct.pack("H", INET) + struct.pack(">H4s8x", port, at.packed)
        )
    return attribute(
        ENDPOINT,
        struct.pack("H", INET6) + struct.pack(">HI16sI", port, 0, at.packed, 0),
    )


class Module:
    """Stands for the kernel; every socket is this one."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.answers: list[wgmsg] = []
        self.asked: list[dict[str, object]] = []
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        """Open a socket."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""

    def info(self, interface: str) -> list[wgmsg]:
        """Dump the device."""
        assert interface == "wg0"
        if self.error:
            raise self.error
        return self.answers

    def set(self, interface: str, **what: object) -> None:
        """Change the device."""
        assert interface == "wg0"
        self.asked.append(what)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Module:
    """Return what the driver talks to."""
    made = Module()
    monkeypatch.setattr(wireguard_kernel, "WireGuard", lambda: made)
    return made


def test_port_peers_and_prefixes_are_read(module: Module) -> None:
    listed = ("100.64.0.7/32", "fd5e:e4a6:e000::7/128")
    module.answers = [
        message(
            attribute(LISTEN_PORT, struct.pack("H", 51820)),
            peers(peer("alice", prefixes=listed), peer("bob")),
        )
    ]
    state = KernelWireGuard("wg0").read()
    assert state.listen_port == 51820
    assert state.peers == {
        public_text("alice"): frozenset(map(network, listed)),
        public_text("bob"): frozenset(),
    }


@pytest.mark.parametrize(
    ("host", "text"),
    [("192.0.2.9", "192.0.2.9:4500"), ("2001:db8::9", "[2001:db8::9]:4500")],
)
def test_handshake_endpoint_and_bytes_are_seen(
    module: Module, host: str, text: str
) -> None:
    told = (
        endpoint(host, 4500),
        attribute(HANDSHAKE, struct.pack("qq", 1_800_000_000, 5)),
        attribute(RECEIVED, struct.pack("Q", 1 << 40)),
        attribute(SENT, struct.pack("Q", 77)),
    )
    module.answers = [message(peers(peer("alice", *told)))]
    assert KernelWireGuard("wg0").read().seen == {
        public_text("alice"): Sighting(
            handshake_ns=1_800_000_000 * 10**9 + 5,
            endpoint=text,
            received=1 << 40,
            sent=77,
        )
    }


def test_a_peer_that_was_never_there_is_seen_as_that(module: Module) -> None:
    never = attribute(HANDSHAKE, struct.pack("qq", 0, 0))
    module.answers = [message(peers(peer("alice", never)))]
    assert KernelWireGuard("wg0").read().seen == {public_text("alice"): Sighting()}


def test_prefixes_that_go_on_in_another_message_take_nothing_back(
    module: Module,
) -> None:
    told = (endpoint("192.0.2.9", 4500), attribute(SENT, struct.pack("Q", 77)))
    module.answers = [
        message(peers(peer("alice", *told, prefixes=["100.64.0.7/32"]))),
        message(peers(peer("alice", prefixes=["100.64.0.8/32"]))),
    ]
    state = KernelWireGuard("wg0").read()
    alice = public_text("alice")
    assert state.peers == {
        alice: frozenset({network("100.64.0.7/32"), network("100.64.0.8/32")})
    }
    assert state.seen == {alice: Sighting(endpoint="192.0.2.9:4500", sent=77)}


def test_another_private_key_than_was_set_is_seen(module: Module) -> None:
    driver, mine = KernelWireGuard("wg0"), private_text("gateway")
    driver.set_private_key(mine)
    assert module.asked == [{"private_key": mine}]
    for name, is_mine in (("gateway", True), ("x", False)):
        key = clamped(private_text(name))
        module.answers = [message(attribute(PRIVATE_KEY, key))]
        assert driver.read().is_keyed == is_mine


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        (
            lambda d: d.remove_peers([public_text("bob")]),
            {"peer": {"public_key": public_text("bob"), "remove": True}},
        ),
        (
            lambda d: d.set_peers({public_text("bob"): {network("100.64.0.8/32")}}),
            {
                "peer": {
                    "public_key": public_text("bob"),
                    "replace_allowed_ips": True,
                    "allowed_ips": ["100.64.0.8/32"],
                }
            },
        ),
        (lambda d: d.set_listen_port(4500), {"listen_port": 4500}),
    ],
    ids=["remove", "set", "port"],
)
def test_changes_go_by_difference(
    module: Module, change: Callable[[KernelWireGuard], None], asked: object
) -> None:
    change(KernelWireGuard("wg0"))
    assert module.asked == [asked]


@pytest.mark.parametrize(
    "error", [OSError("gone"), NetlinkError(errno.ENODEV)], ids=["socket", "device"]
)
def test_a_kernel_that_refuses_is_one_error(module: Module, error: Exception) -> None:
    module.error = error
    with pytest.raises(WireGuardError, match="wg0"):
        KernelWireGuard("wg0").read()
