"""Captures of the reference service, read as directories and delivered filters."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network, summarize_address_range
from pathlib import Path
from typing import Any, Final

from policies.compiler.ranges import (
    Family,
    Range,
    address_family,
    network_family,
    network_range,
)
from policies.compiler.types import IPNetwork, address, network
from policies.dialect.addresses import EVERYTHING
from policies.dialect.directory import Directory, Machine, Person, Site
from policies.dialect.meaning import Box, Meaning, canonical, ports_of
from policies.dialect.selectors import DEFAULT_PROTOCOLS

PATH: Final = (
    Path(__file__).parents[3] / "../shared/vectors/headscale-policy-captures.jsonl.gz"
)

OVERLAY: Final[tuple[IPNetwork, ...]] = (
    *summarize_address_range(ip_address("100.64.0.0"), ip_address("100.115.91.255")),
    *summarize_address_range(ip_address("100.115.94.0"), ip_address("100.127.255.255")),
    ip_network("fd7a:115c:a1e0::/48"),
)
"""The reference service's tunnel prefixes: CGNAT without a hole it keeps for itself."""


@dataclass(frozen=True, slots=True)
class Capture:
    """One policy with what the reference service answered and delivered."""

    name: str
    policy: str
    message: str
    nodes: Mapping[str, Any]
    filters: Mapping[str, Any]
    directory: Directory

    @property
    def is_rejected(self) -> bool:
        """Whether the service refused the policy."""
        return bool(self.message)


def captures() -> list[Capture]:
    """Return every capture of the collection."""
    with gzip.open(PATH, "rt", encoding="utf-8") as lines:
        return [_capture(json.loads(line)) for line in lines]


def site(name: str, node: Mapping[str, Any]) -> Site:
    """Return a node as a gateway."""
    return Site(
        name=name,
        routes=tuple(network(route) for route in node["approved_routes"] or ()),
        addresses=(address(node["ipv4"]), address(node["ipv6"])),
        tags=tuple(node["tags"]),
    )


def delivered(rules: Sequence[Mapping[str, Any]] | None) -> Meaning:
    """Return the meaning of a delivered packet filter."""
    boxes: defaultdict[tuple[Family, int], list[Box]] = defaultdict(list)
    for rule in rules or ():
        spans = [span for text in rule["SrcIPs"] or () for span in _spans(text)]
        for entry in rule.get("DstPorts") or ():
            ports = (max(entry["Ports"]["First"], 1), entry["Ports"]["Last"])
            for family, destination in _spans(entry["IP"]):
                for protocol in rule.get("IPProto") or DEFAULT_PROTOCOLS:
                    boxes[family, protocol] += (
                        Box(source, destination, ports_of(protocol, ports))
                        for other, source in spans
                        if other == family
                    )
    return canonical(boxes)


def _capture(row: Mapping[str, Any]) -> Capture:
    """Return one line of the collection."""
    nodes = row["topology"]["nodes"]
    logins = {user["name"]: user["email"] for user in row["topology"]["users"]}
    return Capture(
        name=row["test_id"],
        policy=json.dumps(row["policy"], ensure_ascii=False),
        message=row["api_message"] or "" if row["error"] else "",
        nodes=nodes,
        filters=row["expected_filter_rules"],
        directory=Directory(
            people=tuple(Person(login=login) for login in logins.values()),
            machines=tuple(_machine(node, logins) for node in nodes.values()),
            sites=tuple(site(name, node) for name, node in nodes.items()),
            overlay=OVERLAY,
        ),
    )


def _machine(node: Mapping[str, Any], logins: Mapping[str, str]) -> Machine:
    """Return a node as a device."""
    return Machine(
        addresses=(address(node["ipv4"]), address(node["ipv6"])),
        owner=logins.get(node.get("user", "")),
        tags=tuple(node["tags"]),
    )


def _spans(text: str) -> list[tuple[Family, Range]]:
    """Return the addresses written as `*`, a prefix, an address or a range."""
    if text == "*":
        return [(4, EVERYTHING.four[0]), (6, EVERYTHING.six[0])]
    if "-" in text:
        first, last = (address(part) for part in text.split("-"))
        return [(address_family(first), (int(first), int(last)))]
    prefix = network(text)
    return [(network_family(prefix), network_range(prefix))]
