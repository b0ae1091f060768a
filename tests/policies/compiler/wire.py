"""A gateway between two wires in a namespace: real packets, and what rules logged."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from policies.compiler.evaluate import Packet
from policies.compiler.leases import is_lease
from policies.compiler.nftables import ruleset, transaction
from policies.compiler.tables import Ruleset
from policies.compiler.types import Snapshot
from tests.policies.compiler import frames
from tests.policies.compiler.build import NOW, snapshot
from tests.policies.compiler.examples import company
from tests.policies.compiler.kernel import Kernel

WIRES: Final = """
ip link set lo up
ip link add wg0 address 02:00:00:00:aa:01 type veth peer name tun
ip link add lan address 02:00:00:00:aa:03 type veth peer name net
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.wg0.rp_filter=0
sysctl -qw net.ipv6.conf.tun.disable_ipv6=1 net.ipv6.conf.net.disable_ipv6=1
for each in wg0 tun lan net; do ip link set $each up; done
ip address add 192.0.2.1/24 dev lan
ip -6 address add fd99::1/64 dev lan nodad
ip neigh add 192.0.2.9 lladdr 02:00:00:00:aa:09 dev lan
ip -6 neigh add fd99::9 lladdr 02:00:00:00:aa:09 dev lan
ip route add default via 192.0.2.9
ip -6 route add default via fd99::9
ip route add 100.64.0.0/16 dev wg0
ip -6 route add fd5e:e4a6:e000::/64 dev wg0
"""
QUIET: Final = "sysctl -qw net.netfilter.nf_conntrack_checksum=0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Which packets came out of the gateway, and what was logged, by their place."""

    passed: set[int]
    logged: Mapping[int, str]


@contextmanager
def wired_kernel() -> Iterator[Kernel]:
    """Lend a gateway: `tun` leads to devices, `net` elsewhere."""
    with Kernel() as lent:
        lent.run("sh", "-e", given=WIRES)
        # Conntrack's switches exist once a table asks for it.
        lent.load(
            transaction(None, ruleset(snapshot(company()), interface="wg0"), now=NOW)
        )
        lent.run("sh", "-ec", QUIET)
        yield lent


def install(kernel: Kernel, policy: Snapshot) -> None:
    """Replace everything by a policy and open the lease."""
    install_table(kernel, ruleset(policy, interface="wg0"))


def install_table(
    kernel: Kernel, want: Ruleset, *, closed: Collection[str] = ()
) -> None:
    """Replace everything by a ruleset and open every lease that is not closed."""
    script = "flush ruleset\n" + transaction(None, want, now=NOW)
    leases = (s.name for s in want.sets if is_lease(s.name) and s.name not in closed)
    for name in leases:
        script += f'add element inet peerage_wg0 {name} {{ "wg0" timeout 600s }}\n'
    kernel.load(script)
    kernel.run("conntrack", "-F")


def sent(kernel: Kernel, packets: Sequence[Packet]) -> Heard:
    """Send packets, of which the last must come out, and hear."""
    return sent_frames(kernel, [frames.frame(p, n) for n, p in enumerate(packets)])


def sent_frames(
    kernel: Kernel, made: Sequence[bytes], *, on: str = "tun", hear: str = "net"
) -> Heard:
    """Send frames into one end, of which the last should come out at the other."""
    given = json.dumps([frame.hex() for frame in made])
    command = (sys.executable, "-m", "tests.policies.compiler.injector", on, hear)
    heard = json.loads(kernel.run(*command, given=given))
    return Heard(passed=set(heard["passed"]), logged=dict(heard["logged"]))
