"""From facts to a snapshot: default deny, union of grants, order never matters.

What is absent, not yet begun, ended, outside its hours, or unknown gives nothing. Only
devices that can use a live grant on this gateway become peers: their owner is its
subject, and they hold what it demands. A peer's end is the end of its tunnel session
or of the last grant it can use, whichever comes first, so that the kernel closes it
even when nobody else acts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import TypeAlias

from policies.compiler.conditions import (
    Requirement,
    Requirements,
    sorted_requirements,
)
from policies.compiler.errors import UnknownReferenceError
from policies.compiler.requirements import UNHELD, Terms, held_until, usable_until
from policies.compiler.schedules import closes_at, is_open, opens_at
from policies.compiler.types import (
    NEVER,
    Application,
    Authentication,
    Device,
    Facts,
    Grant,
    Holder,
    Holders,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """Who becomes a peer, and until when: devices in order of their ids."""

    granted: Sequence[Subject]
    held: _Held
    devices: Sequence[Device]
    ends: Sequence[datetime]
    conditions: tuple[Holders, ...]


def compile_snapshot(
    facts: Facts, *, epoch: int, generation: int, now: datetime
) -> Snapshot:
    """Return the desired state of one gateway at `now`.

    Raises:
        UnknownReferenceError: a live grant names an application that is not served.
        OverlapError: two peers share an address, a key or an id.
        InvalidValueError: an id, key, name or address is out of its bounds.
    """
    grants = tuple(
        snapshot_grant(grant, now=now) for grant in live_grants(facts, now=now)
    )
    applications = {application.id: application for application in facts.applications}
    placed = _placed(facts, grants, now=now)
    snapshot = Snapshot(
        deployment=facts.deployment,
        audience=f"gw_{facts.gateway_id}",
        epoch=epoch,
        generation=generation,
        issued=now,
        listen_port=facts.listen_port,
        pools=sorted_networks(facts.pools),
        peers=tuple(map(peer_of, placed.devices, placed.ends)),
        subjects=_members(placed),
        applications=tuple(
            application_of(applications, identifier)
            for identifier in sorted({grant.application_id for grant in grants})
        ),
        grants=grants,
        revoked_keys=tuple(sorted(set(facts.revoked_keys))),
        conditions=placed.conditions,
    )
    check_snapshot(snapshot)
    return snapshot


def next_change(facts: Facts, *, now: datetime) -> datetime | None:
    """Return the next moment at which time alone changes the result, or None."""
    grants = [snapshot_grant(grant, now=now) for grant in live_grants(facts, now=now)]
    placed = _placed(facts, grants, now=now)
    moments = {next_moment(grant, now=now) for grant in facts.grants}
    moments.update(device.expires_at for device in placed.devices)
    moments.update(h.expires_at for part in placed.conditions for h in part.holders)
    return min((m for m in moments if now < m < NEVER), default=None)


def next_moment(grant: Grant, *, now: datetime) -> datetime:
    """Return when a grant begins or ceases to be in force next, or `NEVER`."""
    begins = max(now, grant.not_before)
    if grant.expires_at <= begins:
        return NEVER
    if grant.hours is None or is_open(grant.hours, begins):
        return begins if now < begins else end_of(grant, now=now)
    opens = opens_at(grant.hours, begins)
    return opens if opens < grant.expires_at else NEVER


def is_in_force(grant: Grant, *, now: datetime) -> bool:
    """Return whether a grant has begun, goes on, and is in its hours."""
    return is_live(grant.not_before, grant.expires_at, now=now) and (
        grant.hours is None or is_open(grant.hours, now)
    )


def end_of(grant: Grant, *, now: datetime) -> datetime:
    """Return when a grant that is in force ends, or its present hours do."""
    if grant.hours is None:
        return grant.expires_at
    return min(grant.expires_at, closes_at(grant.hours, now))


def live_grants(facts: Facts, *, now: datetime) -> tuple[Grant, ...]:
    """Return the grants in force at `now`, by id."""
    return tuple(
        sorted(
            (grant for grant in facts.grants if is_in_force(grant, now=now)),
            key=attrgetter("id"),
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


def terms_of_subjects(grants: Iterable[SnapshotGrant]) -> Mapping[Subject, Terms]:
    """Return on what terms each granted subject has anything, and until when."""
    terms: defaultdict[Subject, dict[Requirements, datetime]] = defaultdict(dict)
    for grant in grants:
        ends = terms[grant.subject]
        known = ends.get(grant.requires, grant.expires_at)
        ends[grant.requires] = max(grant.expires_at, known)
    return terms


def demanded(grants: Iterable[SnapshotGrant]) -> Requirements:
    """Return what any of the grants demands."""
    return sorted_requirements(r for grant in grants for r in grant.requires)


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
    found = applications[identifier]
    return replace(found, destinations=sorted_destinations(found.destinations))


def snapshot_grant(grant: Grant, *, now: datetime) -> SnapshotGrant:
    """Return a grant that is in force as the snapshot lists it."""
    return SnapshotGrant(
        id=grant.id,
        subject=grant.subject,
        application_id=grant.application_id,
        expires_at=end_of(grant, now=now),
        requires=grant.requires,
    )


def _placed(facts: Facts, grants: Iterable[SnapshotGrant], *, now: datetime) -> _Placed:
    """Return who becomes a peer, and which peers hold what is demanded."""
    listed = tuple(grants)
    terms = terms_of_subjects(listed)
    granted = sorted(terms)
    held = _held(facts, granted)
    proofs = {proof.user_id: proof for proof in facts.authentications}
    last = _ends(held, [terms[subject] for subject in granted], proofs)
    found = [
        (device, end)
        for device in _candidates(facts, held)
        if now < device.expires_at and now < (end := last(device))
    ]
    devices = [device for device, _ in found]
    return _Placed(
        granted=granted,
        held=held,
        devices=devices,
        ends=[end for _, end in found],
        conditions=tuple(
            _holders(wanted, devices, proofs, now=now) for wanted in demanded(listed)
        ),
    )


def _ends(
    held: _Held, terms: Sequence[Terms], proofs: Mapping[int, Authentication]
) -> Callable[[Device], datetime]:
    """Return what says when the last grant ends that a device can use."""
    # Most grants demand nothing of a device: then one end a person will do.
    plain = [part.get((), UNHELD) for part in terms]
    last = {user: max(plain[n] for n in places) for user, places in held.items()}
    special = [{r: end for r, end in part.items() if r} for part in terms]
    if not any(special):
        return lambda device: last[device.user_id]

    def end(device: Device) -> datetime:
        """Return the end for one device."""
        latest = last[device.user_id]
        if latest == NEVER:
            return latest
        own = [special[n] for n in held[device.user_id] if special[n]]
        proof = proofs.get(device.user_id)
        return max(latest, usable_until(own, device, proof))

    return end


def _holders(
    wanted: Requirement,
    devices: Iterable[Device],
    proofs: Mapping[int, Authentication],
    *,
    now: datetime,
) -> Holders:
    """Return the devices that hold a requirement, and until when."""
    ends = (
        (device.id, held_until(wanted, device, proofs.get(device.user_id)))
        for device in devices
    )
    return Holders(
        requirement=wanted,
        holders=tuple(
            [
                Holder(device_id=number, expires_at=end)
                for number, end in ends
                if now < end
            ]
        ),
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


def _candidates(facts: Facts, held: _Held) -> Sequence[Device]:
    """Return the devices of people who are granted anything, by id."""
    revoked = frozenset(facts.revoked_keys)
    return sorted(
        (
            device
            for device in facts.devices
            if device.user_id in held and device.public_key not in revoked
        ),
        key=attrgetter("id"),
    )


def _members(placed: _Placed) -> tuple[SubjectMembers, ...]:
    """Return every granted subject with its devices; a group may have none."""
    members: list[list[int]] = [[] for _ in placed.granted]
    for device in placed.devices:
        for place in placed.held[device.user_id]:
            members[place].append(device.id)
    return tuple(
        SubjectMembers(subject=subject, device_ids=tuple(ids))
        for subject, ids in zip(placed.granted, members, strict=True)
    )
