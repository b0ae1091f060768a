"""From what the kernel holds to what it should hold: ordered steps. Pure.

Tighten first, loosen last:

1. one nftables transaction for the whole generation (atomic; nothing it opens is of
   use before its peer exists);
2. peers that are no longer wanted are removed;
3. the flows of devices that lost something are cut, each only if the policy in force
   would not let it begin;
4. the port, routes, and new or changed peers, by difference. A peer that stays is
   never removed and added again: that costs its owner 15 seconds.

A flow is judged as its first packet would be judged now, so that a person whose other
access was narrowed keeps the connections that are still allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from gateway.elements import is_plain
from gateway.types import Entry, InterfaceState
from policies.compiler.conditions import Requirements
from policies.compiler.delta import ElementChange, element_changes
from policies.compiler.evaluate import Packet, Verdict, device_part, verdict
from policies.compiler.nftables import (
    Ruleset,
    named_part,
    ruleset,
    transaction,
    with_resolved,
)
from policies.compiler.types import (
    NOTHING_RESOLVED,
    IPNetwork,
    Resolved,
    Snapshot,
    Subject,
)
from policies.compiler.wireguard import gateway_peers


@dataclass(frozen=True, slots=True, kw_only=True)
class Have:
    """What the kernel holds, as far as is known; `snapshot` is None at a start."""

    snapshot: Snapshot | None
    ruleset: Ruleset | None
    interface: InterfaceState


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTransaction:
    """Apply one nftables transaction."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeElements:
    """Apply one nftables transaction of elements alone."""

    changes: tuple[ElementChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovePeers:
    """Remove the peers with these public keys."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutFlows:
    """Judge the flows of these devices (None: of every device) and cut some.

    Unjudged, of devices that may do nothing any more, all of them go.
    """

    devices: frozenset[int] | None
    is_judged: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SetListenPort:
    """Listen on this port."""

    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRoutes:
    """Route these prefixes into the tunnel."""

    prefixes: tuple[IPNetwork, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPeers:
    """Add these peers, or change the AllowedIPs of those there are."""

    peers: Mapping[str, frozenset[IPNetwork]]


Step = (
    RunTransaction
    | ChangeElements
    | RemovePeers
    | CutFlows
    | SetListenPort
    | AddRoutes
    | SetPeers
)


def plan(
    have: Have,
    want: Snapshot,
    *,
    interface: str,
    now: datetime,
    resolved: Resolved = NOTHING_RESOLVED,
) -> tuple[tuple[Step, ...], Ruleset]:
    """Return the steps from `have` to `want`, in order, and the ruleset they load.

    Steps that would do nothing are left out; equal states give none.
    """
    wanted_ruleset = ruleset(want, interface=interface, resolved=resolved)
    wanted_peers = peers_of(want, now=now)
    held_peers = have.interface.peers
    steps = _loading(have.ruleset, wanted_ruleset, now=now)
    if removed := tuple(sorted(held_peers.keys() - wanted_peers.keys())):
        steps.append(RemovePeers(keys=removed))
    losing = None if have.snapshot is None else losing_devices(have.snapshot, want)
    if losing is None or losing:
        steps.append(CutFlows(devices=losing))
    if have.interface.listen_port != want.listen_port:
        steps.append(SetListenPort(port=want.listen_port))
    if routes := _new_routes(have.snapshot, want):
        steps.append(AddRoutes(prefixes=routes))
    changed = {
        key: prefixes
        for key, prefixes in wanted_peers.items()
        if held_peers.get(key) != prefixes
    }
    if changed:
        steps.append(SetPeers(peers=changed))
    return tuple(steps), wanted_ruleset


def _loading(have: Ruleset | None, want: Ruleset, *, now: datetime) -> list[Step]:
    """Return the one transaction from `have` to `want`, the quicker way it can go."""
    changes = element_changes(have, want)
    if changes is not None and is_plain(changes):
        return [ChangeElements(changes=changes)] if changes else []
    text = transaction(have, want, now=now)
    return [RunTransaction(text=text)] if text else []


def rename(
    have: Ruleset, policy: Snapshot, resolved: Resolved, *, now: datetime
) -> tuple[str, Ruleset]:
    """Return the transaction after which names stand for `resolved`, and its outcome.

    Nothing but elements, and the chains of addresses that names share, is touched.
    """
    want = with_resolved(have, policy, resolved)
    return transaction(named_part(have), named_part(want), now=now), want


def peers_of(snapshot: Snapshot, *, now: datetime) -> dict[str, frozenset[IPNetwork]]:
    """Return each live peer's AllowedIPs on the gateway, by public key."""
    return {
        peer.public_key: frozenset(peer.allowed_ips)
        for peer in gateway_peers(snapshot, now=now)
    }


def losing_devices(old: Snapshot, new: Snapshot) -> frozenset[int]:
    """Return the devices that may do less than before: gone, moved, or narrowed.

    Over-inclusive on purpose, and by subject rather than by device, because there are
    many devices: their flows are judged one by one afterwards.
    """
    held = {peer.device_id: set(peer.addresses) for peer in new.peers}
    losing = {
        peer.device_id
        for peer in old.peers
        if not held.get(peer.device_id, set()).issuperset(peer.addresses)
    }
    before, after = _granted(old), _granted(new)
    narrowed = _narrowed_applications(old, new)
    members = {m.subject: frozenset(m.device_ids) for m in new.subjects}
    for subject in old.subjects:
        had = before.get(subject.subject, frozenset())
        has = after.get(subject.subject, frozenset())
        if any(allowed not in has or allowed[0] in narrowed for allowed in had):
            losing.update(subject.device_ids)
        elif had:
            losing.update(
                set(subject.device_ids) - members.get(subject.subject, frozenset())
            )
    return frozenset(losing | _failing(old, new))


def flows_to_cut(
    entries: Iterable[Entry],
    snapshot: Snapshot,
    *,
    pools: Iterable[IPNetwork],
    now: datetime,
    resolved: Resolved = NOTHING_RESOLVED,
) -> list[Entry]:
    """Return the flows from `pools` that `snapshot` would not let begin at `now`.

    `resolved` is what host names stand for. `pools` keeps foreign entries with a mark
    of their own out of it. Nothing begins towards a device: what did, and what has no
    mark, began while no table stood.
    """
    ours, views = tuple(pools), dict[int, Snapshot]()
    found = []
    for entry in entries:
        if not any(entry.tuple.source in pool for pool in ours):
            if any(entry.tuple.destination in pool for pool in ours):
                found.append(entry)
            continue
        if entry.mark not in views:
            views[entry.mark] = device_part(snapshot, entry.mark)
        judged = judge_flow(views[entry.mark], entry, now=now, resolved=resolved)
        if not judged.is_allowed or judged.device_id != entry.mark:
            found.append(entry)
    return found


def judge_flow(
    snapshot: Snapshot, entry: Entry, *, now: datetime, resolved: Resolved
) -> Verdict:
    """Return what the policy says of a flow's first packet."""
    packet = Packet(
        source=entry.tuple.source,
        destination=entry.tuple.destination,
        protocol=entry.tuple.protocol,
        port=entry.tuple.destination_port,
    )
    return verdict(snapshot, packet, now=now, resolved=resolved)


def next_end(snapshot: Snapshot, *, now: datetime) -> datetime | None:
    """Return when the next grant, session or proof ends, or None when none will."""
    ends = [g.expires_at for g in snapshot.grants]
    ends += [p.expires_at for p in snapshot.peers]
    ends += [h.expires_at for part in snapshot.conditions for h in part.holders]
    return min((end for end in ends if end > now), default=None)


_Allowed: TypeAlias = tuple[int, datetime, Requirements]
"""An application, until when, and what is demanded for it."""


def _granted(snapshot: Snapshot) -> Mapping[Subject, frozenset[_Allowed]]:
    """Return what each subject holds."""
    granted: dict[Subject, set[_Allowed]] = {}
    for grant in snapshot.grants:
        allowed = (grant.application_id, grant.expires_at, grant.requires)
        granted.setdefault(grant.subject, set()).add(allowed)
    return {subject: frozenset(allowed) for subject, allowed in granted.items()}


def _failing(old: Snapshot, new: Snapshot) -> set[int]:
    """Return the devices that no longer hold what they held, or not as long."""
    now_held = {part.requirement: set(part.holders) for part in new.conditions}
    return {
        holder.device_id
        for part in old.conditions
        for holder in set(part.holders) - now_held.get(part.requirement, set())
    }


def _narrowed_applications(old: Snapshot, new: Snapshot) -> frozenset[int]:
    """Return the applications whose destinations lost something."""
    kept = {a.id: set(a.destinations) for a in new.applications}
    return frozenset(
        a.id
        for a in old.applications
        if not kept.get(a.id, set()).issuperset(a.destinations)
    )


def _new_routes(old: Snapshot | None, new: Snapshot) -> tuple[IPNetwork, ...]:
    held = set(old.pools) if old else set()
    return tuple(pool for pool in new.pools if pool not in held)
