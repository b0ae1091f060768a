"""The ruleset, and other ways to say the same to the kernel, to be measured beside it.

IPv4 only where that is all that is sent. None of these is used by anything else.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv4Address

from policies.compiler.nftables import chain_name, live_text, transaction
from policies.compiler.ranges import Range
from policies.compiler.regions import regions
from policies.compiler.tables import Chain, Element, NamedSet, Ruleset, named_set
from policies.compiler.types import NEVER, PortRange, Snapshot
from tests.policies.compiler.build import NOW

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
        if named.key_type == "mark"
        else named
        for named in table.sets
    )
    table = replace(table, sets=sets)
    return _rules(table, lambda rule: rule.replace("ct mark @", "ip saddr @"))


def hosts_first(table: Ruleset) -> Ruleset:
    """Return a hash of single addresses and ports before the interval map."""
    wide = _set(table, "dst4")
    exact = [e for e in wide.elements if "-" not in e.key]
    hosts = replace(wide, name="host4", flags=(), elements=tuple(exact))
    rest = replace(wide, elements=tuple(e for e in wide.elements if "-" in e.key))
    others = (named for named in table.sets if named.name != "dst4")
    return _before(
        replace(table, sets=(*others, hosts, rest)),
        "ip daddr . meta l4proto . th dport vmap @dst4",
        "ip daddr . meta l4proto . th dport vmap @host4",
    )


def ranges_first(table: Ruleset, snapshot: Snapshot) -> Ruleset:
    """Return an address range first, then its own small map of protocol and port."""
    cut = [r for r in regions(snapshot.applications) if r.family == 4 and r.ports]
    points = sorted({p for r in cut for p in (r.addresses[0], r.addresses[1] + 1)})
    services: defaultdict[Range, list[str]] = defaultdict(list)
    for region in cut:
        place = bisect_left(points, region.addresses[0])
        first, last = region.ports or (1, 65535)
        span = str(first) if first == last else f"{first}-{last}"
        said = (
            f"{region.protocols[0]} . {span} : goto {chain_name(region.applications)}"
        )
        while points[place] <= region.addresses[1]:
            services[points[place], points[place + 1] - 1].append(said)
            place += 1
    named = {tuple(found): f"at_{n}" for n, found in enumerate(services.values())}
    elements = [
        Element(_range(span), f"jump {named[tuple(found)]}", NEVER)
        for span, found in services.items()
    ]
    chains = tuple(
        Chain(
            name=name,
            hook="",
            rules=(f"meta l4proto . th dport vmap {{ {', '.join(found)} }}",),
        )
        for found, name in named.items()
    )
    spans = named_set(
        "dst4", "ipv4_addr", "interval", data_type="verdict", elements=elements
    )
    table = replace(
        table,
        sets=tuple(spans if s.name == "dst4" else s for s in table.sets),
        chains=(*table.chains, *chains),
    )
    return _rules(
        table,
        lambda rule: rule.replace(
            " . meta l4proto . th dport vmap @dst4", " vmap @dst4"
        ),
    )


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


def _range(span: Range) -> str:
    first, last = (IPv4Address(number) for number in span)
    return str(first) if first == last else f"{first}-{last}"


def _set(table: Ruleset, name: str) -> NamedSet:
    return next(named for named in table.sets if named.name == name)


def _rules(table: Ruleset, change: Callable[[str], str]) -> Ruleset:
    chains = (
        replace(chain, rules=tuple(change(rule) for rule in chain.rules))
        for chain in table.chains
    )
    return replace(table, chains=tuple(chains))


def _before(table: Ruleset, rule: str, new: str) -> Ruleset:
    def inserted(rules: Iterable[str]) -> Iterable[str]:
        for each in rules:
            if each == rule:
                yield new
            yield each

    chains = (replace(c, rules=tuple(inserted(c.rules))) for c in table.chains)
    return replace(table, chains=tuple(chains))
