"""One gateway in a namespace of its own, through which established flows pass.

`python -m tests.bench.measures.established SHAPE`: says `ready`; then for every line on
standard input, which names a size and a direction, sends packets of flows that were
opened and answered before, and says what one cost, in microseconds.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from gateway.netfilter import Nftables, set_switches
from policies.compiler.evaluate import Packet
from policies.compiler.nftables import Ruleset, ruleset
from policies.compiler.types import Snapshot
from tests.bench.measures import shapes
from tests.bench.measures.company import company
from tests.bench.measures.gateway import granted
from tests.bench.measures.sending import Volley, packets_out
from tests.policies.compiler.build import snapshot
from tests.policies.compiler.frames import checksum
from tests.policies.compiler.wire import QUIET, WIRES

EMPTY: Final = "an empty chain"
BARE: Final = "bare conntrack"
OURS: Final = "the gateway's ruleset"
SHAPES: Final[Mapping[str, Callable[[Snapshot], tuple[str, ...]]]] = {
    EMPTY: lambda _: (shapes.OPEN,),
    BARE: lambda _: (shapes.BARE,),
    OURS: lambda policy: shapes.script(ruleset(policy, interface="wg0")),
}
STEPS: Final[Mapping[str, Callable[[Ruleset], Ruleset]]] = {
    "asking for the lease": partial(shapes.gated, lease=True, device=False),
    "asking for the device": partial(shapes.gated, lease=False, device=True),
    "asking for both": partial(shapes.gated, lease=True, device=True),
    "gates one by one": shapes.gates_apart,
}
"""Ways between bare conntrack and ours, to see what each question costs."""
SIZES: Final = {"small": 64, "large": 1420}
"""Bytes of the IP packet; the large one is what WireGuard's default MTU lets pass."""

DIRECTIONS: Final = {"up": ("tun", "lan"), "down": ("net", "wg0")}
"""Where packets are sent into the gateway, and where they leave it."""

UDP: Final = 17
MOST_FLOWS: Final = 1_000
PACKETS: Final = 20_000
PATIENCE_SECONDS: Final = 2.0
_MAC: Final = {"tun": "02000000aa01", "net": "02000000aa03"}
_SOURCE_MAC: Final = "02000000aa99"

Address = IPv4Address | IPv6Address


def main() -> None:
    """Stand ready, and fire a volley for each line."""
    volleys = _prepared(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        size, direction = line.split()
        volley = volleys[size, direction]
        print(_fired(volley, DIRECTIONS[direction][1]), flush=True)


def _prepared(shape: str) -> Mapping[tuple[str, str], Volley]:
    """Bring up wires and rules, open every flow and have it answered."""
    wires = WIRES.replace("100.64.0.0/16", "100.64.0.0/10")
    subprocess.run(["sh", "-e"], input=wires, text=True, check=True)
    # Like WireGuard's own interface, it asks nobody for addresses of Ethernet.
    subprocess.run(["ip", "link", "set", "wg0", "arp", "off"], check=True)
    policy = snapshot(
        company(
            users=6_700, devices=10_000, groups=500, applications=2_000, grants=5_000
        )
    )
    nft = Nftables()
    for part in _script(shape, policy):
        nft.run(part)
    if shape != EMPTY:
        subprocess.run(["sh", "-ec", QUIET], check=True)
        set_switches()
    flows = [p for p in granted(policy, "random") if p.protocol == UDP][:MOST_FLOWS]
    for direction in ("up", "down"):
        opened = _volley(flows, SIZES["small"], direction, len(flows))
        _all_pass(opened, DIRECTIONS[direction][1], len(flows))
    return {
        (size, direction): _volley(flows, octets, direction, PACKETS)
        for size, octets in SIZES.items()
        for direction in DIRECTIONS
    }


def _script(shape: str, policy: Snapshot) -> tuple[str, ...]:
    if shape in SHAPES:
        return SHAPES[shape](policy)
    return shapes.script(STEPS[shape](ruleset(policy, interface="wg0")))


def _fired(volley: Volley, way_out: str) -> float:
    return _all_pass(volley, way_out, PACKETS) * 1e6


def _all_pass(volley: Volley, way_out: str, count: int) -> float:
    """Return the seconds of one packet, having seen that all of them passed."""
    before = packets_out(way_out)
    seconds = volley.fire(count)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (passed := packets_out(way_out) - before) < count:
        # The last ones may still be in the kernel's queue.
        if time.monotonic() < deadline:
            time.sleep(0.01)
            continue
        message = f"only {passed} of {count} packets passed"
        raise RuntimeError(message)
    return seconds


def _volley(flows: Sequence[Packet], octets: int, direction: str, count: int) -> Volley:
    sender = DIRECTIONS[direction][0]
    made = [*_frames(flows, octets, sender)]
    return Volley(sender, [made[n % len(made)] for n in range(count)])


def _frames(flows: Iterable[Packet], octets: int, sender: str) -> Iterable[bytes]:
    """Yield one frame of each flow, as devices (`tun`) or applications send it."""
    ethernet = bytes.fromhex(_MAC[sender] + _SOURCE_MAC) + b"\x08\x00"
    for number, flow in enumerate(flows):
        near, far = (flow.source, 1024 + number), (flow.destination, flow.port or 0)
        source, target = (near, far) if sender == "tun" else (far, near)
        yield ethernet + _datagram(source, target, octets)


def _datagram(
    source: tuple[Address, int], target: tuple[Address, int], octets: int
) -> bytes:
    """Return an IPv4 packet with a UDP datagram, its checksum left out."""
    addresses = source[0].packed + target[0].packed
    start = struct.pack("!BBHHHBB", 0x45, 0, octets, 0, 0, 64, UDP)
    header = start + struct.pack("!H", checksum(start + bytes(2) + addresses))
    udp = struct.pack("!HHHH", source[1], target[1], octets - 20, 0)
    return header + addresses + udp + bytes(octets - 28)


if __name__ == "__main__":
    main()
