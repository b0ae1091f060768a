"""One gateway in a namespace of its own, ruled by one shape, flooded when told.

`python -m tests.bench.measures.gateway SHAPE SWITCHES`: says `ready`; then for every
line on standard input, which names a mix, sends new flows and answers what one cost.
SHAPE may be a step as well: one rule, repeated where it is all in the caches.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, TypeVar

from gateway.netfilter import Nftables, set_switches
from policies.compiler.evaluate import Packet
from policies.compiler.nftables import ruleset
from policies.compiler.tables import Ruleset
from policies.compiler.types import Protocol, Snapshot
from tests.bench.measures import shapes
from tests.bench.measures.company import company
from tests.bench.measures.sending import Volley, packets_out
from tests.policies.compiler.build import snapshot
from tests.policies.compiler.frames import frame
from tests.policies.compiler.wire import QUIET, WIRES

FLOWS: Final = 20_000
LINEAR_FLOWS: Final = 4_000
BARE: Final = "bare conntrack"
OURS: Final = "destination first"
LINEAR: Final = "one rule for each policy"
LISTENED: Final = " … and the agent listens"
MIXES: Final = ("random", "skewed")
T = TypeVar("T")

_Make = Callable[[Ruleset, Snapshot], tuple[str, ...]]
_SHAPES: Final[Mapping[str, _Make]] = {
    "forwarding alone": lambda *_: (shapes.OPEN,),
    BARE: lambda *_: (shapes.BARE,),
    OURS: lambda table, _: shapes.script(table),
    "… without its log": lambda table, _: shapes.script(shapes.without_log(table)),
    "… without counter and log": lambda table, _: shapes.script(shapes.unlogged(table)),
    "… its three lookups alone": lambda table, _: shapes.script(
        shapes.lookups_alone(table)
    ),
    "… one map for TCP and UDP": lambda table, _: shapes.script(
        shapes.both_protocols(table)
    ),
    "… and the device looked up twice": lambda table, _: shapes.script(
        shapes.looked_up_twice(table)
    ),
    "… sets of addresses": lambda table, _: shapes.script(shapes.by_address(table)),
    "… hash of hosts first": lambda table, _: shapes.script(shapes.hosts_first(table)),
    "… port first, then hashes": lambda table, policy: shapes.script(
        shapes.ports_first(table, policy)
    ),
    LINEAR: lambda _, policy: (shapes.rule_for_each_policy(policy),),
}
STEPS: Final[Mapping[str, str]] = {
    "nothing": "",
    "compare an interface's name": 'iifname "other" drop',
    "ask for the lease": "iifname != @live drop",
    "ask for the device": "ip saddr != @device4 drop",
    "give the flow its device as mark": "ct mark set ip saddr map @device4",
    "skip a rule of the other IP family": "ip6 saddr != @device6 drop",
    "compare the state": "ct state invalid drop",
    "check TCP's flags": "tcp flags & (fin|syn|rst|ack) != syn drop",
    "look the destination up": "ip daddr . th dport @tcp4 continue",
    "the same with the protocol": "ip daddr . meta l4proto . th dport @dst4 continue",
    "ask for a member": "ct mark @who_gr_4 continue",
    "count": "counter",
    "log, nobody listening": 'log prefix "gt_2345/ap_1234" group 41',
}
"""Rules that go on, to be walked TIMES times; the least is what stands around them."""

TIMES: Final = 10
NAMES: Final = (*_SHAPES, BARE + LISTENED, OURS + LISTENED)


def main() -> None:
    """Stand ready, and fire a volley for each line."""
    name, switches = sys.argv[1:]
    shape = name.removesuffix(LISTENED)
    volleys = _prepared(shape, switches)
    flows = LINEAR_FLOWS if shape == LINEAR else FLOWS
    if shape != name:
        listener = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.measures.listener"]
        )
    print("ready", flush=True)
    for line in sys.stdin:
        print(_fired(volleys[line.strip()], flows), flush=True)
    if shape != name:
        listener.terminate()
        listener.wait()


def _prepared(shape: str, switches: str) -> Mapping[str, Volley]:
    """Bring up wires and rules; return the flows of each mix."""
    wires = WIRES.replace("100.64.0.0/16", "100.64.0.0/10")
    subprocess.run(["sh", "-e"], input=wires, text=True, check=True)
    policy = snapshot(
        company(
            users=6_700, devices=10_000, groups=500, applications=2_000, grants=5_000
        )
    )
    nft = Nftables()
    table = ruleset(policy, interface="wg0")
    made = (
        shapes.script(shapes.repeated(table, STEPS[shape], TIMES))
        if shape in STEPS
        else _SHAPES[shape](table, policy)
    )
    for part in made:
        nft.run(part)
    subprocess.run(["sh", "-ec", QUIET], check=True)
    if switches == "gateway":
        set_switches()
    return {
        mix: Volley("tun", [frame(p, n) for n, p in enumerate(granted(policy, mix))])
        for mix in MIXES
    }


def _fired(volley: Volley, flows: int) -> float:
    """Return the microseconds of a new flow, having seen that all of them passed."""
    flush = ["conntrack", "-F"]
    subprocess.run(flush, check=True, capture_output=True)
    before = packets_out("lan")
    seconds = volley.fire(flows)
    passed = packets_out("lan") - before
    if passed < flows:
        message = f"only {passed} of {flows} flows passed"
        raise RuntimeError(message)
    return seconds * 1e6


def granted(policy: Snapshot, mix: str) -> list[Packet]:
    """Return flows of devices to destinations they may reach.

    `random`: every device and destination is equally likely, the worst that caches
    can meet. `skewed`: the n-th grant, and among its members the n-th device, is
    n times rarer than the first (Zipf's law), as people's habits are.
    """
    random = Random(3)  # noqa: S311 - reproducible, not secret
    members = {m.subject: m.device_ids for m in policy.subjects}
    addresses = {p.device_id: p.addresses[0] for p in policy.peers}
    applications = {a.id: a for a in policy.applications}
    grants = [grant for grant in policy.grants if members[grant.subject]]
    ranked = random.sample(grants, len(grants))

    def chosen(among: Sequence[T]) -> T:
        if mix == "random":
            return random.choice(among)
        # The inverse of the harmonic sum, which the logarithm is near enough to.
        return among[min(int(len(among) ** random.random()), len(among)) - 1]

    packets: list[Packet] = []
    while len(packets) < FLOWS:
        grant = chosen(ranked)
        there = random.choice(applications[grant.application_id].destinations)
        if there.prefix.version == 6 or there.ports is None:
            continue
        prefix, ports = there.prefix, there.ports
        packets.append(
            Packet(
                source=addresses[chosen(members[grant.subject])],
                destination=prefix[random.randrange(prefix.num_addresses)],
                protocol=6 if there.protocol is Protocol.TCP else 17,
                port=random.randint(ports.first, ports.last),
            )
        )
    return packets


if __name__ == "__main__":
    main()
