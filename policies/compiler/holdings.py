"""What a gateway's kernel holds, in a form two sides can compare by digest.

The portal computes it from the snapshot, the agent from what it read back; equal
digests are the proof that a generation is in force. Times are no part of it, counters
neither; the interface's name is left out, because the portal does not know it. Nor
does it know what host names resolve to on the gateway: which ones there are, and what
each opens, is part of this, the addresses of the moment are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from policies.compiler.canonical import canonical_json
from policies.compiler.named import NAME_MAPS, SHARED
from policies.compiler.nftables import ruleset
from policies.compiler.ranges import speller
from policies.compiler.readback import ruleset_from_nft
from policies.compiler.snapshot import digest
from policies.compiler.tables import Chain, NamedSet, Ruleset
from policies.compiler.types import Snapshot
from policies.compiler.wireguard import GatewayPeer

Row: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Everything that decides, sorted; a rule keeps its place in its chain.

    `peers` (key, AllowedIPs…), `devices` (map, address, mark), `subjects` (set,
    address), `destinations` (map, key, verdict), `rules` (chain, hook, rule…).
    """

    peers: tuple[Row, ...]
    devices: tuple[Row, ...]
    subjects: tuple[Row, ...]
    destinations: tuple[Row, ...]
    rules: tuple[Row, ...]


def holdings(
    snapshot: Snapshot, interface: str, *, now: datetime | None = None
) -> Holdings:
    """Return what the kernel should hold at `now`, by default the time of issue.

    Raises:
        InvalidValueError: the interface's name cannot be used in a ruleset.
    """
    moment = snapshot.issued if now is None else now
    return _holdings(
        _live(ruleset(snapshot, interface=interface), now=moment),
        _peers(snapshot, now=moment),
    )


def holdings_from_nft(
    listing: object, peers: Iterable[GatewayPeer], *, interface: str, now: datetime
) -> Holdings:
    """Return what the kernel does hold: `nft -j list table …` and the peers.

    Raises:
        SnapshotFormatError: not a listing of libnftables' JSON.
    """
    return held(ruleset_from_nft(listing, interface=interface, now=now), peers)


def held(table: Ruleset, peers: Iterable[GatewayPeer]) -> Holdings:
    """Return a ruleset and peers as holdings."""
    return _holdings(table, map(_peer, peers))


def holdings_digest(value: Holdings) -> str:
    """Return SHA-256 over the canonical JSON of the holdings, in hexadecimal."""
    return digest(
        canonical_json(
            {
                "peers": value.peers,
                "devices": value.devices,
                "subjects": value.subjects,
                "destinations": value.destinations,
                "rules": value.rules,
            }
        )
    )


def expected_holdings(snapshot: Snapshot) -> str:
    """Return the digest of what the kernel holds when a snapshot is in force."""
    # Any name will do: holdings leave it out, and only the gateway knows its own.
    return holdings_digest(holdings(snapshot, "wg0", now=snapshot.issued))


def _holdings(table: Ruleset, peers: Iterable[Row]) -> Holdings:
    """Return a ruleset and the rows of peers as holdings."""
    table = _less_resolved(table)
    maps = [named for named in table.sets if named.data_type]
    sets = [named for named in table.sets if not named.data_type]
    foreign = tuple(("foreign", kind, name) for kind, name in table.foreign)
    return Holdings(
        peers=tuple(sorted(peers)),
        devices=_elements(named for named in maps if named.data_type == "mark"),
        subjects=_elements(_anywhere(named, table.interface) for named in sets),
        destinations=_elements(named for named in maps if named.data_type != "mark"),
        rules=(*(_rules(chain, table.interface) for chain in table.chains), *foreign),
    )


def _less_resolved(table: Ruleset) -> Ruleset:
    """Return the ruleset without what comes and goes with resolved addresses."""
    return replace(
        table,
        sets=tuple(s for s in table.sets if s.name not in NAME_MAPS),
        chains=tuple(c for c in table.chains if not c.name.startswith(SHARED)),
    )


def _live(table: Ruleset, *, now: datetime) -> Ruleset:
    """Return the ruleset without what the kernel has ended by `now`."""
    return replace(
        table,
        sets=tuple(
            replace(
                named,
                elements=tuple([e for e in named.elements if now < e.expires_at]),
            )
            if named.is_timed
            else named
            for named in table.sets
        ),
    )


def _peers(snapshot: Snapshot, *, now: datetime) -> Iterable[Row]:
    """Yield the rows of `gateway_peers`, but spell addresses and not prefixes."""
    spelled = speller()
    for peer in snapshot.peers:
        if now < peer.expires_at:
            prefixes = (f"{spelled(a)}/{a.max_prefixlen}" for a in peer.addresses)
            yield (peer.public_key, *sorted(prefixes))


def _peer(peer: GatewayPeer) -> Row:
    """Return a peer as a row."""
    return (peer.public_key, *sorted(str(prefix) for prefix in peer.allowed_ips))


def _anywhere(named: NamedSet, interface: str) -> NamedSet:
    """Return a set of interfaces, the interface's name replaced."""
    if named.key_type != "ifname":
        return named
    here = f'"{interface}"'
    return replace(
        named,
        elements=tuple(
            element._replace(key='"@interface"') if element.key == here else element
            for element in named.elements
        ),
    )


def _elements(sets: Iterable[NamedSet]) -> tuple[Row, ...]:
    """Return the elements of sets as rows."""
    rows: list[Row] = []
    for named in sets:
        name = named.name
        rows += [
            (name, key, data) if data else (name, key)
            for key, data, _ in named.elements
        ]
    return tuple(sorted(rows))


def _rules(chain: Chain, interface: str) -> Row:
    """Return a chain as a row, the interface's name replaced."""
    here, anywhere = f'ifname "{interface}"', 'ifname "@interface"'
    return (
        chain.name,
        chain.hook,
        *(rule.replace(here, anywhere) for rule in chain.rules),
    )
