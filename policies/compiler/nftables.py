"""The ruleset of one gateway: destination first, then subject (DESIGN §7).

The kernel holds the policy in its normal form: memberships, destinations, grants.
The rule that accepts *is* the grant, so the log names it. Subjects hold devices by
their mark, not by address: one element a membership, one rule a grant, whichever IP
family the packet is of (ADR-0008). Rules this module keeps:

* Every path ends in a drop; the base chain's policy is drop as well.
* Both gates (lease, device) stand before `established accept`, in both directions.
* A denial says why in its log prefix. Logging is rate-limited only where no person
  could be hidden by somebody else's noise.
* Machine ids only. No name of a person, group or application enters a ruleset.
* Host names are asked before prefixes, and only inside their bounds: an element of
  `name4`/`name6` leads to the grants of all names that have the address, and what
  none of them lets pass falls through to the prefixes' grants (ADR-0009).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address
from itertools import chain as joined
from typing import Final

from policies.compiler.conditions import MaxAge, requirement_name
from policies.compiler.delta import transaction
from policies.compiler.fixed import (
    ACCEPT_GROUP,
    DENY_GROUP,
    WITHHELD,
    fixed_chains,
    withheld_chain,
)
from policies.compiler.grant_rules import (
    leases_of,
    open_name,
    rule_writer,
    who_name,
)
from policies.compiler.leases import LIVE
from policies.compiler.named import (
    ADDRESS_TYPES,
    NAME_MAPS,
    SHARED,
    Grants,
    Rule,
    name_chains,
    name_maps,
    pins,
    placed,
    shared_chains,
)
from policies.compiler.ranges import (
    FAMILIES,
    IPV4,
    IPV6,
    Family,
    address_of,
    range_text,
    speller,
)
from policies.compiler.regions import (
    HOSTS,
    TCP,
    UDP,
    Label,
    Region,
    regions,
)
from policies.compiler.tables import (
    DYNAMIC,
    Chain,
    Element,
    NamedSet,
    Ruleset,
    named_set,
    table_name,
)
from policies.compiler.types import (
    NEVER,
    NOTHING_RESOLVED,
    Peer,
    Resolved,
    Snapshot,
    SnapshotGrant,
)

__all__ = [
    "ACCEPT_GROUP",
    "DENY_GROUP",
    "Chain",
    "Element",
    "NamedSet",
    "Ruleset",
    "base_text",
    "closed_text",
    "live_text",
    "named_part",
    "ruleset",
    "table_name",
    "transaction",
    "with_resolved",
]

_LONGEST_CHAIN: Final = 63
"""nft(8) takes 128 characters; a listing stays readable with fewer."""

_BY_NAME: Final = ("ip daddr vmap @name4", "ip6 daddr vmap @name6")

_CENTURY: Final = timedelta(days=36_525)

_PORTED: Final[Mapping[str, int]] = {"tcp": TCP, "udp": UDP}


def ruleset(
    snapshot: Snapshot, *, interface: str, resolved: Resolved = NOTHING_RESOLVED
) -> Ruleset:
    """Return the whole table that enforces `snapshot` on `interface`.

    `resolved` is what its host names stand for; without it they stand for nothing.

    Raises:
        InvalidValueError: the interface's name cannot be used in a ruleset.
    """
    table_name(interface)
    snapshot = _within_reach(snapshot)
    grants_of = _grants_of(snapshot)
    cut = regions(a for a in snapshot.applications if a.id in grants_of)
    labels = {region.applications for region in cut}
    named = pins(a for a in snapshot.applications if a.id in grants_of)
    reached = {
        *joined.from_iterable(labels),
        *(o.application_id for opened in named.values() for o in opened),
    }
    held = placed(named, resolved)
    leases = leases_of(snapshot)
    by_name = {opened.application_id for of in named.values() for opened in of}
    rule = rule_writer(snapshot)
    return _sorted(
        interface,
        (
            *_gates(snapshot.peers),
            *_destinations(cut),
            *_conditions(snapshot, reached, interface),
            *(named_set(n, "ifname", "timeout") for n in {*leases.values()}),
            *name_maps(named, held),
        ),
        (
            *fixed_chains(interface),
            *((withheld_chain(),) if leases else ()),
            *(
                _application_chain(
                    label, grants_of, rule, _behind(label, leases, by_name)
                )
                for label in labels
            ),
            *name_chains(named, grants_of, rule=rule),
            *shared_chains(named, held, grants_of, rule=rule),
        ),
    )


def with_resolved(table: Ruleset, snapshot: Snapshot, resolved: Resolved) -> Ruleset:
    """Return the ruleset of `snapshot` with its host names standing for `resolved`.

    What `ruleset` would return, without making anew what no answer changes.
    """
    snapshot = _within_reach(snapshot)
    grants_of = _grants_of(snapshot)
    named = pins(a for a in snapshot.applications if a.id in grants_of)
    held = placed(named, resolved)
    rest = (named for named in table.sets if named.name not in NAME_MAPS)
    others = (chain for chain in table.chains if not chain.name.startswith(SHARED))
    return _sorted(
        table.interface,
        (*rest, *name_maps(named, held)),
        (*others, *shared_chains(named, held, grants_of, rule=rule_writer(snapshot))),
    )


def named_part(table: Ruleset) -> Ruleset:
    """Return the part of a table that comes and goes with what names resolve to."""
    return Ruleset(
        interface=table.interface,
        sets=tuple(named for named in table.sets if named.name in NAME_MAPS),
        chains=tuple(c for c in table.chains if c.name.startswith(SHARED)),
        tolerance=table.tolerance,
    )


def claim_name(interface: str) -> str:
    """Return the table by which one agent claims an interface."""
    return f"{table_name(interface)}_agent"


def claim_text(interface: str) -> str:
    """Return the transaction that claims an interface for who runs it.

    nft(8): a table with the flag `owner` belongs to the netlink socket that made it.
    """
    return f"add table inet {claim_name(interface)} {{ flags owner; }}\n"


def base_text(interface: str) -> str:
    """Return the closed table: every gate, no device, no destination, no lease.

    For boot, before the first snapshot. Loaded over a live table it changes no
    element and rewrites the fixed chains as they are: it opens nothing and closes
    nothing that the lease does not close anyway.
    """
    closed = _sorted(
        interface, (*_gates(()), *_destinations(())), fixed_chains(interface)
    )
    table = f"inet {table_name(interface)}"
    lines = [f"add table {table}"]
    lines += [
        f"add {s.kind} {table} {s.name} {{ {s.declaration} }}" for s in closed.sets
    ]
    lines += [
        f"add chain {table} {c.name}{f' {{ {c.hook} }}' if c.hook else ''}"
        for c in closed.chains
    ]
    for chain in closed.chains:
        lines.append(f"flush chain {table} {chain.name}")
        lines += [f"add rule {table} {chain.name} {rule}" for rule in chain.rules]
    return "\n".join(lines) + "\n"


def live_text(interface: str, seconds: int) -> str:
    """Return the script that opens the lease for `seconds` from now.

    Adding an element that exists does not extend its timeout, deleting one that is
    absent fails: so add, delete, add, in one transaction. Nothing closes meanwhile.
    """
    live = f"element inet {table_name(interface)} {LIVE}"
    lease = f'{{ "{interface}" timeout {seconds}s }}'
    return (
        f'add {live} {lease}\ndelete {live} {{ "{interface}" }}\nadd {live} {lease}\n'
    )


def closed_text(interface: str) -> str:
    """Return the script that ends the lease at once, whether it was open or not."""
    live = f"element inet {table_name(interface)} {LIVE}"
    return (
        f'add {live} {{ "{interface}" timeout 1s }}\n'
        f'delete {live} {{ "{interface}" }}\n'
    )


def chain_name(label: Label) -> str:
    """Return the chain for a region that these applications cover."""
    name = "_".join(("app", *("hosts" if n == HOSTS else str(n) for n in label)))
    if len(name) <= _LONGEST_CHAIN:
        return name
    return f"app_x{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def _within_reach(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with ends beyond a century as no end.

    The kernel counts timeouts in nanoseconds and refuses more than 584 years; one
    such grant must not keep a whole generation, with its revocations, from loading.
    """
    far = snapshot.issued + min(_CENTURY, NEVER - snapshot.issued)
    return replace(
        snapshot,
        peers=tuple(
            replace(p, expires_at=NEVER) if far < p.expires_at < NEVER else p
            for p in snapshot.peers
        ),
        grants=tuple(
            replace(g, expires_at=NEVER) if far < g.expires_at < NEVER else g
            for g in snapshot.grants
        ),
        conditions=tuple(
            replace(
                part,
                holders=tuple(
                    replace(h, expires_at=NEVER) if far < h.expires_at < NEVER else h
                    for h in part.holders
                ),
            )
            for part in snapshot.conditions
        ),
    )


def _sorted(
    interface: str, sets: Iterable[NamedSet], chains: Iterable[Chain]
) -> Ruleset:
    """Return a ruleset with sets and chains in order of their names."""
    return Ruleset(
        interface=interface,
        sets=tuple(sorted(sets, key=lambda named: named.name)),
        chains=tuple(sorted(chains, key=lambda chain: chain.name)),
    )


def _gates(peers: Iterable[Peer]) -> Iterable[NamedSet]:
    """Return the lease, the maps from address to device mark, and who crowds."""
    held: dict[Family, list[Element]] = {family: [] for family in FAMILIES}
    four, six, spelled = held[IPV4], held[IPV6], speller()
    for peer in peers:
        mark, end = str(peer.device_id), peer.expires_at
        for address in peer.addresses:
            elements = four if isinstance(address, IPv4Address) else six
            elements.append(Element(spelled(address), mark, end))
    yield named_set(LIVE, "ifname", "timeout")
    for name in DYNAMIC:
        yield named_set(name, "mark", "dynamic", "timeout")
    for family in FAMILIES:
        yield named_set(
            f"device{family}",
            ADDRESS_TYPES[family],
            "timeout",
            data_type="mark",
            elements=held[family],
        )


def _destinations(cut: Iterable[Region]) -> Iterable[NamedSet]:
    """Return the maps from destination to the chain of its applications."""
    listed = tuple(cut)
    for family in FAMILIES:
        of_family = [region for region in listed if region.family == family]
        address = ADDRESS_TYPES[family]
        for name, protocol in _PORTED.items():
            yield named_set(
                f"{name}{family}",
                f"{address} . inet_service",
                "interval",
                data_type="verdict",
                elements=(
                    _destination(region, range_text(region.ports))
                    for region in of_family
                    if region.ports is not None and region.protocols[0] == protocol
                ),
            )
        yield named_set(
            f"proto{family}",
            f"{address} . inet_proto",
            "interval",
            data_type="verdict",
            elements=(
                _destination(region, range_text(region.protocols))
                for region in of_family
                if region.ports is None
            ),
        )


def _destination(region: Region, service: str) -> Element:
    """Return a region as an element of its map: addresses, and what they serve."""
    first, last = (address_of(region.family, number) for number in region.addresses)
    there = str(first) if first == last else f"{first}-{last}"
    chain = f"goto {chain_name(region.applications)}"
    return Element(f"{there} . {service}", chain, NEVER)


def _conditions(
    snapshot: Snapshot, reached: Collection[int], interface: str
) -> Iterable[NamedSet]:
    """Return the sets that rules ask for: who, in whose time, holding what."""
    grants = [grant for grant in snapshot.grants if grant.application_id in reached]
    members = {m.subject: m.device_ids for m in snapshot.subjects}
    ids = [peer.device_id for peer in snapshot.peers]
    forever = dict(zip(ids, _members(ids), strict=True))
    for subject in {grant.subject for grant in grants}:
        elements = map(forever.__getitem__, members[subject])
        yield named_set(who_name(subject), "mark", elements=elements)
    for grant in grants:
        if grant.expires_at < NEVER:
            element = Element(f'"{interface}"', "", grant.expires_at)
            yield named_set(open_name(grant), "ifname", "timeout", elements=(element,))
    wanted = {requirement for grant in grants for requirement in grant.requires}
    for part in snapshot.conditions:
        if part.requirement in wanted:
            timed = ("timeout",) if isinstance(part.requirement, MaxAge) else ()
            holders = [
                Element(str(h.device_id), "", h.expires_at) for h in part.holders
            ]
            name = requirement_name(part.requirement)
            yield named_set(name, "mark", *timed, elements=holders)


def _members(devices: Iterable[int]) -> Iterable[Element]:
    """Return devices as a subject's set holds them: by their marks."""
    return [Element(str(device), "", NEVER) for device in devices]


def _behind(
    label: Label, leases: Mapping[int, str], by_name: Collection[int]
) -> Sequence[str]:
    """Return the leases of the applications that cover a region, by name as well."""
    covering = {*label, *(by_name if HOSTS in label else ())}
    return sorted({name for number, name in leases.items() if number in covering})


def _application_chain(
    label: Label, grants_of: Grants, rule: Rule, behind: Iterable[str]
) -> Chain:
    """Return the chain of a region: one rule for each grant, lowest id first.

    Inside the bounds of host names those are asked first, and return. What nothing let
    pass while a lease there is closed may be somebody's right: it is told apart.
    """
    concerned = sorted(
        (
            (grant, application)
            for application in label
            for grant in grants_of.get(application, ())
        ),
        key=lambda pair: pair[0].id,
    )
    rules = (
        *(_BY_NAME if HOSTS in label else ()),
        *(rule(grant, application, "") for grant, application in concerned),
        *(f"iifname != @{name} goto deny_{WITHHELD}" for name in behind),
        "goto deny_no_grant",
    )
    return Chain(name=chain_name(label), hook="", rules=rules)


def _grants_of(snapshot: Snapshot) -> Grants:
    """Return the grants on each application that has any."""
    found: defaultdict[int, list[SnapshotGrant]] = defaultdict(list)
    for grant in snapshot.grants:
        found[grant.application_id].append(grant)
    return found
