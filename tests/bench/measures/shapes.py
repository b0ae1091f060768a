"""The ruleset, and other ways to say the same to the kernel, to be measured beside it.

IPv4 only where that is all that is sent. None of these is used by anything else.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from itertools import groupby, pairwise

from policies.compiler.nftables import chain_name, live_text, transaction
from policies.compiler.ranges import Range
from policies.compiler.regions import TCP, UDP, Label
from policies.compiler.tables import (
    CROWDED,
    DYNAMIC,
    Chain,
    Element,
    NamedSet,
    Ruleset,
    named_set,
)
from policies.compiler.types import NEVER, PortRange, Protocol, Snapshot
from tests.policies.compiler.build import NOW

PORTED = {"tcp4": TCP, "udp4": UDP}
FORWARD = "type filter hook forward priority 0; policy"
OPEN = f"""add table inet x
add chain inet x forward {{ {FORWARD} accept; }}
"""
BARE = f"""add table inet x
add chain inet x forward {{ {FORWARD} drop; }}
add rule inet x forward ct state established,related accept
add rule inet x forward ct state new accept
"""


def script(table: Ruleset) -> tuple[str, ...]:
    """Return the scripts that load a table into an empty kernel, its lease open.

    Two, because nft 1.0.6 sends a map of single ranges before the chains it names.
    """
    lines = transaction(None, table, now=NOW).splitlines(keepends=True)
    elements = [line for line in lines if line.startswith("add element")]
    frame = [line for line in lines if not line.startswith(("add element", "flush"))]
    return "".join(frame), "".join(elements) + live_text(table.interface, 600)


def unlogged(table: Ruleset) -> Ruleset:
    """Return the same decisions, neither counted nor logged when they allow."""
    logging = re.compile(r'counter log prefix "gt_\S+ group \d+ ')
    return _rules(table, lambda rule: logging.sub("", rule))


def by_address(table: Ruleset) -> Ruleset:
    """Return sets of addresses in place of sets of marks (before ADR-0008)."""
    address = {e.data: e.key for e in _set(table, "device4").elements}
    sets = tuple(
        named_set(
            named.name,
            "ipv4_addr",
            elements=[Element(address[e.key], "", NEVER) for e in named.elements],
        )
        if named.key_type == "mark" and named.name not in DYNAMIC
        else named
        for named in table.sets
    )
    table = replace(table, sets=sets)
    asked = re.compile(rf"ct mark @(?!{CROWDED}\b)")
    return _rules(table, lambda rule: asked.sub("ip saddr @", rule))


def without_log(table: Ruleset) -> Ruleset:
    """Return the same decisions, counted but not logged when they allow."""
    logging = re.compile(r'log prefix "gt_\S+" group \d+ ')
    return _rules(table, lambda rule: logging.sub("", rule))


def lookups_alone(table: Ruleset) -> Ruleset:
    """Return the three lookups that no shape can do without, and nothing else.

    Device, destination, member: no lease, no gate for what is established, no lateral
    or mid-stream check, no counter, no log.
    """
    forward = (
        "ct state established,related accept",
        "ct mark set ip saddr map @device4 goto begin4",
    )
    begin = tuple(
        rule
        for rule in _chain(table, "begin4")
        if rule.startswith(("ip daddr", "goto"))
    )
    return _with_chains(unlogged(table), {"forward": forward, "begin4": begin})


def gated(table: Ruleset, *, lease: bool, device: bool) -> Ruleset:
    """Return a chain that tracks connections and asks for these gates, no more."""
    rules = [
        " ".join(
            (
                *([f"{way}ifname @live"] if lease else []),
                "ct state established,related",
                *([f"ip {end} @device4"] if device else []),
                "accept",
            )
        )
        for way, end in (("i", "saddr"), ("o", "daddr"))
    ]
    if not (lease or device):
        del rules[1]
    return _with_chains(table, {"forward": (*rules, "ct state new accept")})


def gates_apart(table: Ruleset) -> Ruleset:
    """Return the gates of established packets as rules of their own, one by one."""
    apart = {
        name: (
            *[r for r in _chain(table, name) if not r.endswith(" accept")][:-1],
            f"ct state {states} accept",
            _chain(table, name)[-1],
        )
        for name, states in (
            ("from_device", "established,related,new"),
            ("to_device", "established,related"),
        )
    }
    return _with_chains(table, apart)


def repeated(table: Ruleset, rule: str, times: int) -> Ruleset:
    """Return the gates of a new flow, then one rule over and over, then acceptance."""
    begin = (*((rule,) * times if rule else ()), "accept")
    both = replace(table, sets=(*table.sets, _set(_one_map(table), "dst4")))
    return _with_chains(both, {"begin4": begin})


def looked_up_twice(table: Ruleset) -> Ruleset:
    """Return the order before ADR-0012: every packet past the gate, then the mark."""
    forward = (
        'iifname "wg0" oifname "wg0" goto deny_lateral',
        *_chain(table, "forward"),
    )
    from_device = (
        "iifname != @live goto deny_not_live",
        "ip saddr != @device4 goto deny_no_device",
        "ip6 saddr != @device6 goto deny_no_device",
        "ct state established,related accept",
        "ct state invalid goto deny_invalid",
        "tcp flags & (fin|syn|rst|ack) != syn goto deny_mid_stream",
        "ct mark set ip saddr map @device4",
        "ct mark set ip6 saddr map @device6",
        "ip daddr . meta l4proto . th dport vmap @dst4",
        "ip daddr . meta l4proto vmap @proto4",
        "goto deny_no_grant",
    )
    changed = {"forward": forward, "from_device": from_device, "begin4": ()}
    return _with_chains(_one_map(table), changed)


def both_protocols(table: Ruleset) -> Ruleset:
    """Return one map whose key has the protocol in it, in place of two maps."""
    both = "ip daddr . meta l4proto . th dport vmap @dst4"
    begin = (
        both if rule.endswith("@tcp4") else rule
        for rule in _chain(table, "begin4")
        if not rule.endswith("@udp4")
    )
    return _with_chains(_one_map(table), {"begin4": tuple(begin)})


def hosts_first(table: Ruleset) -> Ruleset:
    """Return a hash of single addresses and ports before each interval map."""
    sets: list[NamedSet] = []
    for named in table.sets:
        if named.name not in PORTED:
            sets.append(named)
            continue
        exact = tuple(e for e in named.elements if "-" not in e.key)
        wide = tuple(e for e in named.elements if "-" in e.key)
        sets.append(replace(named, elements=wide))
        sets.append(replace(named, name=f"host_{named.name}", flags=(), elements=exact))
    begin = []
    for rule in _chain(table, "begin4"):
        if rule.endswith(("@tcp4", "@udp4")):
            begin.append(rule.replace("@", "@host_"))
        begin.append(rule)
    return _with_chains(replace(table, sets=tuple(sets)), {"begin4": begin})


def ports_first(table: Ruleset, snapshot: Snapshot) -> Ruleset:
    """Return the port first, then a hash of networks for each length of prefix.

    Longest prefix first; a network's chain has the applications of the networks
    around it as well. Elements are destinations times the spans of ports they cross.
    """
    sets = [named for named in table.sets if named.name not in PORTED]
    chains: list[Chain] = []
    for name, protocol in (("tcp4", Protocol.TCP), ("udp4", Protocol.UDP)):
        spans: list[Element] = []
        for (first, last), networks in _by_ports(snapshot, protocol):
            place = f"{name}_{first}"
            rules = []
            lengths = sorted(networks, key=lambda n: (-n.prefixlen, n))
            for length, listed in groupby(lengths, key=lambda n: n.prefixlen):
                elements = [
                    Element(
                        str(network.network_address),
                        f"goto {chain_name(networks[network])}",
                        NEVER,
                    )
                    for network in listed
                ]
                hosts = f"{place}_{length}"
                sets.append(
                    named_set(
                        hosts, "ipv4_addr", data_type="verdict", elements=elements
                    )
                )
                rules.append(f"ip daddr & {_mask(length)} vmap @{hosts}")
            chains.append(
                Chain(name=place, hook="", rules=(*rules, "goto deny_no_grant"))
            )
            spans.append(Element(_numbers(first, last), f"goto {place}", NEVER))
        sets.append(
            named_set(
                name, "inet_service", "interval", data_type="verdict", elements=spans
            )
        )
    begin = [
        rule.replace("ip daddr . ", "") if "dport" in rule else rule
        for rule in _chain(table, "begin4")
    ]
    whole = replace(table, sets=tuple(sets), chains=(*table.chains, *chains))
    return _with_chains(whole, {"begin4": begin})


def _by_ports(
    snapshot: Snapshot, protocol: Protocol
) -> Iterable[tuple[Range, Mapping[IPv4Network, Label]]]:
    """Yield spans of ports that no destination divides, and who serves them where."""
    granted = {grant.application_id for grant in snapshot.grants}
    there = [
        (d.prefix, (d.ports.first, d.ports.last) if d.ports else (1, 65535), a.id)
        for a in snapshot.applications
        if a.id in granted
        for d in a.destinations
        if isinstance(d.prefix, IPv4Network) and d.protocol in {protocol, Protocol.ANY}
    ]
    points = sorted({p for _, (f, last), _ in there for p in (f, last + 1)})
    for first, after in pairwise(points):
        at: defaultdict[IPv4Network, set[int]] = defaultdict(set)
        for prefix, (low, high), application in there:
            if low <= first and after - 1 <= high:
                at[prefix].add(application)
        if at:
            yield (first, after - 1), {n: _label(n, at) for n in list(at)}


def _label(network: IPv4Network, at: Mapping[IPv4Network, set[int]]) -> Label:
    """Return the applications of a network and of those around it."""
    around = (network.supernet(new_prefix=n) for n in range(network.prefixlen + 1))
    return tuple(sorted({a for wide in around for a in at.get(wide, ())}))


def _mask(length: int) -> str:
    return str(IPv4Network(f"0.0.0.0/{length}").netmask)


def rule_for_each_policy(snapshot: Snapshot) -> str:
    """Return one rule for each grant, one after the other, as is common elsewhere."""
    addresses = {p.device_id: p.addresses[0] for p in snapshot.peers}
    applications = {a.id: a for a in snapshot.applications}
    lines = BARE.splitlines()[:-1]
    for members in snapshot.subjects:
        name = members.subject.ref
        lines.append(f"add set inet x {name} {{ type ipv4_addr; }}")
        held = ", ".join(str(addresses[number]) for number in members.device_ids)
        if held:
            lines.append(f"add element inet x {name} {{ {held} }}")
    for grant in snapshot.grants:
        for protocol in ("tcp", "udp"):
            there = ", ".join(
                f"{d.prefix} . {_ports(d.ports)}"
                for d in applications[grant.application_id].destinations
                if d.prefix.version == 4 and d.protocol == protocol
            )
            if there:
                lines.append(
                    f"add rule inet x forward ip saddr @{grant.subject.ref}"
                    f" ip daddr . {protocol} dport {{ {there} }} accept"
                )
    return "\n".join(lines) + "\n"


def _ports(ports: PortRange | None) -> str:
    return f"{ports.first}-{ports.last}" if ports else "1-65535"


def _numbers(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _one_map(table: Ruleset) -> Ruleset:
    """Return `dst4`, of all protocols with ports, in place of a map for each."""
    elements = []
    for named in table.sets:
        if named.name in PORTED:
            for element in named.elements:
                there, _, ports = element.key.partition(" . ")
                key = f"{there} . {PORTED[named.name]} . {ports}"
                elements.append(Element(key, element.data, NEVER))
    key_type = "ipv4_addr . inet_proto . inet_service"
    one = named_set(
        "dst4", key_type, "interval", data_type="verdict", elements=elements
    )
    rest = (named for named in table.sets if named.name not in PORTED)
    return replace(table, sets=(*rest, one))


def _set(table: Ruleset, name: str) -> NamedSet:
    return next(named for named in table.sets if named.name == name)


def _chain(table: Ruleset, name: str) -> Sequence[str]:
    return next(chain.rules for chain in table.chains if chain.name == name)


def _with_chains(table: Ruleset, rules: Mapping[str, Sequence[str]]) -> Ruleset:
    """Return the table with other rules in some of its chains."""
    chains = (replace(c, rules=tuple(rules.get(c.name, c.rules))) for c in table.chains)
    return replace(table, chains=tuple(chains))


def _rules(table: Ruleset, change: Callable[[str], str]) -> Ruleset:
    chains = (
        replace(chain, rules=tuple(change(rule) for rule in chain.rules))
        for chain in table.chains
    )
    return replace(table, chains=tuple(chains))
