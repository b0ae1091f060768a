"""Who reaches which application by what gateways hold, and what changed. Pure.

Reads whole snapshots, so it answers for any moment whose snapshots were kept. Time
counts: what a snapshot holds but the kernel has ended by then is not reached.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from policies.compiler.conditions import Requirement
from policies.compiler.types import Destination, Snapshot, SnapshotGrant, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one device reaches one application: by which grants, until when.

    `gateways` and `grants` are ids in order; `expires_at` is when the last way ends.
    """

    device_id: int
    application_id: int
    gateways: tuple[int, ...]
    grants: tuple[int, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of one application: people by id, destinations in order."""

    application_id: int
    gained: tuple[int, ...]
    lost: tuple[int, ...]
    opened: tuple[Destination, ...]
    closed: tuple[Destination, ...]


def ways_to(
    snapshots: Iterable[Snapshot], application_id: int, *, at: datetime
) -> tuple[Way, ...]:
    """Return every device that reaches an application at that moment, by id."""
    return _ways(
        (held, grant)
        for held in _held(snapshots, at)
        for grant in held.grants.get(application_id, ())
    )


def ways_of(
    snapshots: Iterable[Snapshot], device_ids: Collection[int], *, at: datetime
) -> tuple[Way, ...]:
    """Return everything that these devices reach, by device and application."""
    return _ways(
        (held, grant)
        for held in _held(snapshots, at, among=device_ids)
        for grants in held.grants.values()
        for grant in grants
    )


def changes(
    before: Sequence[Snapshot],
    after: Sequence[Snapshot],
    *,
    owners: Mapping[int, int],
    since: datetime,
    until: datetime,
) -> tuple[Change, ...]:
    """Return what differs between two moments, by application.

    A person gains an application when one of their devices reaches it that none
    reached before, behind whichever gateway; `owners` says whose a device is.
    """
    then, now = _held(before, since), _held(after, until)
    was, is_now = _destinations(before), _destinations(after)
    found = []
    for number in sorted({*was, *is_now}):
        had, have = _people(then, number, owners), _people(now, number, owners)
        closed, opened = was.get(number, set()), is_now.get(number, set())
        change = Change(
            application_id=number,
            gained=tuple(sorted(have - had)),
            lost=tuple(sorted(had - have)),
            opened=tuple(sorted(opened - closed, key=lambda d: d.sort_key)),
            closed=tuple(sorted(closed - opened, key=lambda d: d.sort_key)),
        )
        if change.gained or change.lost or change.opened or change.closed:
            found.append(change)
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What one gateway enforces at a moment, indexed."""

    gateway_id: int
    peers: Mapping[int, datetime]
    members: Mapping[Subject, frozenset[int]]
    grants: Mapping[int, Sequence[SnapshotGrant]]
    holders: Mapping[Requirement, Mapping[int, datetime]]

    def end(self, grant: SnapshotGrant, device_id: int) -> datetime | None:
        """Return when a device's use of a grant ends, or None if it has none."""
        ends = [grant.expires_at, self.peers[device_id]]
        for wanted in grant.requires:
            until = self.holders[wanted].get(device_id)
            if until is None:
                return None
            ends.append(until)
        return min(ends)


def _held(
    snapshots: Iterable[Snapshot],
    at: datetime,
    *,
    among: Collection[int] | None = None,
) -> tuple[_Held, ...]:
    """Return what is live in each snapshot, of all devices or of some."""
    found = []
    for snapshot in snapshots:
        peers = {
            peer.device_id: peer.expires_at
            for peer in snapshot.peers
            if at < peer.expires_at and (among is None or peer.device_id in among)
        }
        grants: defaultdict[int, list[SnapshotGrant]] = defaultdict(list)
        for grant in snapshot.grants:
            if at < grant.expires_at:
                grants[grant.application_id].append(grant)
        found.append(
            _Held(
                gateway_id=int(snapshot.audience.removeprefix("gw_")),
                peers=peers,
                members={
                    entry.subject: frozenset(peers.keys() & set(entry.device_ids))
                    for entry in snapshot.subjects
                },
                grants=grants,
                holders={
                    part.requirement: {
                        holder.device_id: holder.expires_at
                        for holder in part.holders
                        if at < holder.expires_at
                    }
                    for part in snapshot.conditions
                },
            )
        )
    return tuple(found)


def _ways(found: Iterable[tuple[_Held, SnapshotGrant]]) -> tuple[Way, ...]:
    """Join what several grants and gateways say of one device and application."""
    grants: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    gateways: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    ends: dict[tuple[int, int], datetime] = {}
    for held, grant in found:
        for device_id in held.members.get(grant.subject, frozenset()):
            end = held.end(grant, device_id)
            if end is None:
                continue
            key = (device_id, grant.application_id)
            grants[key].add(grant.id)
            gateways[key].add(held.gateway_id)
            ends[key] = max(end, ends.get(key, end))
    return tuple(
        Way(
            device_id=key[0],
            application_id=key[1],
            gateways=tuple(sorted(gateways[key])),
            grants=tuple(sorted(grants[key])),
            expires_at=ends[key],
        )
        for key in sorted(grants)
    )


def _people(
    held: Iterable[_Held], application_id: int, owners: Mapping[int, int]
) -> frozenset[int]:
    """Return who reaches an application."""
    return frozenset(
        owners[device_id]
        for part in held
        for grant in part.grants.get(application_id, ())
        for device_id in part.members.get(grant.subject, frozenset())
        if device_id in owners and part.end(grant, device_id) is not None
    )


def _destinations(snapshots: Iterable[Snapshot]) -> Mapping[int, set[Destination]]:
    """Return where each application is, behind any gateway."""
    found: defaultdict[int, set[Destination]] = defaultdict(set)
    for snapshot in snapshots:
        for application in snapshot.applications:
            found[application.id].update(application.destinations)
    return found
