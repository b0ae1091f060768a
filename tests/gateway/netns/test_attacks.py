"""Attacks that need a real tunnel (E01); the others are sent byte by byte.

E02–E05, E07, E09–E11: `tests/policies/compiler/test_attacks.py`. E06, a flow kept open
across revocation, narrowing or the end of a session: `test_netns.py` beside this.
"""

from __future__ import annotations

import contextlib
import socket

from gateway import wireguard
from gateway.conntrack import list_entries
from policies.compiler.types import network
from tests.faults.field import HOST, field
from tests.faults.isolated import isolated
from tests.faults.probing import ECHO_PORT
from tests.gateway.netns.lab import command, inside
from tests.gateway.world import public_text

BOBS = "100.64.0.8"


@isolated()
def test_e01_a_tunnel_carries_no_source_address_of_another_device() -> None:
    with field() as made:
        made.probe("alice").opens()
        made.probe("bob").opens()
        command("ip", "-n", "alice", "address", "add", f"{BOBS}/32", "dev", "walice")
        # The ruleset alone would let it pass: the address is bob's, and granted.
        assert not sent_from(BOBS)
        widen("alice", "100.64.0.7/32", f"{BOBS}/32")
        assert sent_from(BOBS)


def widen(name: str, *prefixes: str) -> None:
    """Give a peer of the gateway more addresses than are its own."""
    driver = wireguard.userspace("wg0")
    assert driver is not None
    driver.set_peers({public_text(name): frozenset(map(network, prefixes))})


def sent_from(source: str) -> bool:
    """Return whether a datagram of alice's with this source becomes a flow."""
    asking = inside("alice", lambda: socket.socket(type=socket.SOCK_DGRAM))
    with asking:
        asking.bind((source, 0))
        _, port = asking.getsockname()
        asking.settimeout(0.1)
        for _ in range(5):
            asking.sendto(b"", (HOST, ECHO_PORT))
            with contextlib.suppress(TimeoutError):
                asking.recv(1)
        return is_flow(source, port)


def is_flow(source: str, port: int) -> bool:
    """Return whether conntrack holds a flow from there."""
    return any(
        str(e.tuple.source) == source and e.tuple.source_port == port
        for e in list_entries()
    )
