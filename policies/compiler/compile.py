"""From facts to a snapshot: default deny, union of grants, order never matters.

What is absent, not yet begun, ended, or unknown gives nothing. Only devices whose
owner holds a live grant on this gateway become peers; a peer's end is the end of its
tunnel session or of its last grant, whichever comes first, so that the kernel closes
it even when nobody else acts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import TypeAlias

from policies.compiler.errors import UnknownReferenceError
from policies.compiler.types import (
    NEVER,
    Application,
    Device,
    Facts,
    Grant,
    Peer,
    Snapshot,
    SnapshotGrant,
    Subject,
    SubjectKind,
    SubjectMembers,
    is_live,
    sorted_addresses,
    sorted_destinations,
    sorted_networks,
)
from policies.compiler.validate import check_snapshot

_Held: TypeAlias = Mapping[int, Sequence[int]]
"""The granted subjects that each person is, by their place among all of them."""


def compile_snapshot(
    facts: Facts, *, epoch: int, generation: int, now: datetime
) -> Snapshot:
    """Return the desired state of one gateway at `now`.

    Raises:
        UnknownReferenceError: a live grant names an application that is not served.
        OverlapError: two peers share an address, a key or an id.
        InvalidValueError: an id, key, name or address is out of its bounds.
    """
    grants = live_grants(facts, now=now)
    applications = {application.id: application for application in facts.applications}
    ends = ends_of_subjects(grants)
    granted = sorted(ends)
    held = _held(facts, granted)
    devices = _live_devices(facts, held, now=now)
    snapshot = Snapshot(
        deployment=facts.deployment,
        audience=f"gw_{facts.gateway_id}",
        epoch=epoch,
        generation=generation,
        issued=now,
        listen_port=facts.listen_port,
        pools=sorted_networks(facts.pools),
        peers=_peers(devices, held, [ends[subject] for subject in granted]),
        subjects=_members(devices, held, granted),
        applications=tuple(
            application_of(applications, identifier)
            for identifier in sorted({grant.application_id for grant in grants})
        ),
        grants=tuple(map(snapshot_grant, grants)),
        revoked_keys=tuple(sorted(set(facts.revoked_keys))),
    )
    check_snapshot(snapshot)
    return snapshot


def next_change(facts: Facts, *, now: datetime) -> datetime | None:
    """Return the next moment at which time alone changes the result, or None."""
    moments = {
        moment
        for grant in facts.grants
        if grant.not_before < grant.expires_at
        for moment in (grant.not_before, grant.expires_at)
    }
    held = _held(facts, sorted(ends_of_subjects(live_grants(facts, now=now))))
    moments.update(d.expires_at for d in _live_devices(facts, held, now=now))
    return min((m for m in moments if now < m < NEVER), default=None)


def live_grants(facts: Facts, *, now: datetime) -> tuple[Grant, ...]:
    """Return the grants in force at `now`, by id."""
    return tuple(
        sorted(
            (g for g in facts.grants if is_live(g.not_before, g.expires_at, now=now)),
            key=lambda grant: grant.id,
        )
    )


def subjects_of_user(facts: Facts, user_id: int) -> frozenset[Subject]:
    """Return the subjects one person is: the user and the groups it belongs to."""
    groups = (group for user, group in facts.memberships if user == user_id)
    return frozenset(
        {
            Subject(kind=SubjectKind.USER, id=user_id),
            *(Subject(kind=SubjectKind.GROUP, id=group) for group in groups),
        }
    )


def ends_of_subjects(grants: Iterable[Grant]) -> Mapping[Subject, datetime]:
    """Return, for each granted subject, when the last of its grants ends."""
    ends: dict[Subject, datetime] = {}
    for grant in grants:
        ends[grant.subject] = max(
            grant.expires_at, ends.get(grant.subject, grant.expires_at)
        )
    return ends


def peer_of(device: Device, last: datetime) -> Peer:
    """Return a device as the gateway sees it, its last grant ending at `last`."""
    return Peer(
        device_id=device.id,
        public_key=device.public_key,
        addresses=sorted_addresses(device.addresses),
        expires_at=min(device.expires_at, last),
    )


def application_of(
    applications: Mapping[int, Application], identifier: int
) -> Application:
    """Return a granted application with its destinations in order.

    Raises:
        UnknownReferenceError: this gateway does not serve it.
    """
    if identifier not in applications:
        msg = f"ap_{identifier} is granted but not served by this gateway"
        raise UnknownReferenceError(msg)
    found = applications[identifier].destinations
    return Application(id=identifier, destinations=sorted_destinations(found))


def snapshot_grant(grant: Grant) -> SnapshotGrant:
    """Return a live grant as the snapshot lists it."""
    return SnapshotGrant(
        id=grant.id,
        subject=grant.subject,
        application_id=grant.application_id,
        expires_at=grant.expires_at,
    )


def _held(facts: Facts, granted: Sequence[Subject]) -> _Held:
    """Return who is at least one of the granted subjects, and which, by place."""
    places = {(subject.kind, subject.id): n for n, subject in enumerate(granted)}
    held: defaultdict[int, list[int]] = defaultdict(list)
    groups: dict[int, int] = {}
    for (kind, number), place in places.items():
        if kind is SubjectKind.USER:
            held[number].append(place)
        else:
            groups[number] = place
    for user, group in facts.memberships:
        if group in groups:
            held[user].append(groups[group])
    # A membership may be told twice. Sets of a few numbers cost less than one of all.
    return {user: tuple(set(places)) for user, places in held.items()}


def _live_devices(facts: Facts, held: _Held, *, now: datetime) -> Sequence[Device]:
    """Return the devices that become peers, by id."""
    revoked = frozenset(facts.revoked_keys)
    return sorted(
        (
            device
            for device in facts.devices
            if device.user_id in held
            and device.public_key not in revoked
            and now < device.expires_at
        ),
        key=attrgetter("id"),
    )


def _peers(
    devices: Iterable[Device], held: _Held, ends: Sequence[datetime]
) -> tuple[Peer, ...]:
    """Return devices as the gateway sees them."""
    end = ends.__getitem__
    last = {user: max(map(end, places)) for user, places in held.items()}
    return tuple([peer_of(device, last[device.user_id]) for device in devices])


def _members(
    devices: Iterable[Device], held: _Held, granted: Sequence[Subject]
) -> tuple[SubjectMembers, ...]:
    """Return every granted subject with its devices; a group may have none."""
    members: list[list[int]] = [[] for _ in granted]
    for device in devices:
        for place in held[device.user_id]:
            members[place].append(device.id)
    return tuple(
        SubjectMembers(subject=subject, device_ids=tuple(ids))
        for subject, ids in zip(granted, members, strict=True)
    )
