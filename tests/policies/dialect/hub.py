"""The way a captured policy takes in the portal: definitions, facts, a snapshot.

Only people's devices are compared: in the portal nobody else holds a key. What is cut
out of every policy (multicast, other devices of the tunnel) is cut out of both sides.
"""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from policies.compiler.compile import compile_snapshot
from policies.compiler.ranges import (
    Family,
    Range,
    address_family,
    merged,
    network_family,
    network_range,
    without,
)
from policies.compiler.regions import (
    FORBIDDEN,
    Axis,
    destination_ranges,
    destination_services,
)
from policies.compiler.types import (
    NEVER,
    Device,
    Facts,
    IPAddress,
    Snapshot,
    Subject,
    network,
)
from policies.dialect.bridge import Names, to_facts, unknown_names
from policies.dialect.definitions import PolicyDefinition
from policies.dialect.directory import Directory, Site
from policies.dialect.document import ANY_PORT
from policies.dialect.meaning import Box, Meaning, canonical

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
POOLS: Final = (network("100.64.0.0/10"), network("fd7a:115c:a1e0::/48"))


def people_addresses(directory: Directory) -> dict[IPAddress, str]:
    """Return the addresses of people's devices and who owns them."""
    return {
        address: machine.owner
        for machine in directory.machines
        if machine.owner is not None and not machine.tags
        for address in machine.addresses
    }


def compiled(policy: PolicyDefinition, directory: Directory, site: Site) -> Meaning:
    """Return what the compiler makes of a policy for one gateway."""
    served = {
        application.name
        for application in policy.applications
        if any(
            destination.prefix.version == route.version
            and destination.prefix.overlaps(route)
            for destination in application.destinations
            for route in site.routes
            if route.prefixlen
        )
    }
    mine = PolicyDefinition(
        groups=policy.groups,
        applications=tuple(a for a in policy.applications if a.name in served),
        grants=tuple(g for g in policy.grants if g.application in served),
    )
    return _meaning(_snapshot(mine, directory))


def narrowed(meaning: Meaning, directory: Directory) -> Meaning:
    """Return the part of a meaning that both sides can have."""
    own = {(address_family(a), int(a)) for a in people_addresses(directory)}
    boxes: defaultdict[tuple[Family, int], list[Box]] = defaultdict(list)
    for (family, protocol), reached in meaning.items():
        for (first, last), slabs in reached:
            for number in (n for f, n in own if f == family and first <= n <= last):
                boxes[family, protocol] += (
                    Box((number, number), span, ports)
                    for addresses, spans in slabs
                    for span in _allowed(family, addresses)
                    for ports in spans
                )
    return canonical(boxes)


def _allowed(family: Family, addresses: Range) -> tuple[Range, ...]:
    """Return the destinations that may be granted at all."""
    pools = (network_range(pool) for pool in POOLS if network_family(pool) == family)
    return without(addresses, merged((*FORBIDDEN[family], *pools)))


def _snapshot(policy: PolicyDefinition, directory: Directory) -> Snapshot:
    """Return the compiled policy, ids given out in order of names."""
    users = {p.login: i for i, p in enumerate(directory.people, 1)}
    applications = {a.name: i for i, a in enumerate(policy.applications, 1)}
    members = {group.name: group.members for group in policy.groups}
    members["autogroup:member"] = tuple(users)
    named = Names(users=users, applications=applications)
    missing = sorted({*unknown_names(policy, named), *members})
    names = Names(
        users=users,
        applications=applications,
        groups={name: i for i, name in enumerate(missing, 1)},
        grants={grant.name: i for i, grant in enumerate(policy.grants, 1)},
    )
    facts = to_facts(policy, names)
    return compile_snapshot(
        Facts(
            deployment="captures",
            gateway_id=1,
            listen_port=51820,
            pools=POOLS,
            devices=tuple(_devices(directory, users)),
            memberships=tuple(
                (users[login], names.groups[group])
                for group, logins in members.items()
                for login in logins
                if login in users
            ),
            applications=facts.applications,
            grants=facts.grants,
            revoked_keys=(),
        ),
        epoch=1,
        generation=1,
        now=NOW,
    )


def _devices(directory: Directory, users: dict[str, int]) -> Iterator[Device]:
    """Yield people's devices."""
    for number, machine in enumerate(directory.machines, 1):
        if machine.owner is not None and not machine.tags:
            yield Device(
                id=number,
                user_id=users[machine.owner],
                public_key=b64encode(number.to_bytes(32, "big")).decode(),
                addresses=machine.addresses,
                expires_at=NEVER,
            )


def _meaning(snapshot: Snapshot) -> Meaning:
    """Return which packets a snapshot lets through."""
    peers = {peer.device_id: peer for peer in snapshot.peers}
    holders: dict[Subject, list[IPAddress]] = {
        held.subject: [a for i in held.device_ids for a in peers[i].addresses]
        for held in snapshot.subjects
    }
    applications = {a.id: a.destinations for a in snapshot.applications}
    boxes: defaultdict[tuple[Family, int], list[Box]] = defaultdict(list)
    for grant in snapshot.grants:
        for destination in applications[grant.application_id]:
            family = network_family(destination.prefix)
            for axis, (first, last) in destination_services(destination):
                ports = (first % 65536, last % 65536)
                protocol = first // 65536 if axis is Axis.PORT else first
                boxes[family, protocol] += (
                    Box(
                        (int(a), int(a)), span, ports if axis is Axis.PORT else ANY_PORT
                    )
                    for a in holders[grant.subject]
                    if address_family(a) == family
                    for found in destination_ranges(destination)
                    for span in _allowed(family, found)
                )
    return canonical(boxes)
