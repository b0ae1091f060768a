"""From facts to a snapshot: default deny, union of grants, order never matters.

What is absent, not yet begun, ended, or unknown gives nothing. Only devices whose
owner holds a live grant on this gateway become peers; a peer's end is the end of its
tunnel session or of its last grant, whichever comes first, so that the kernel closes
it even when nobody else acts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

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
    sorted_networks,
)
from policies.compiler.validate import check_snapshot


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
    subjects_of = _subjects_of_users(facts)
    ends = _ends(grants)
    devices = tuple(_live_devices(facts, subjects_of, ends, now=now))
    snapshot = Snapshot(
        deployment=facts.deployment,
        audience=f"gw_{facts.gateway_id}",
        epoch=epoch,
        generation=generation,
        issued=now,
        listen_port=facts.listen_port,
        pools=sorted_networks(facts.pools),
        peers=tuple(_peer(device, subjects_of, ends) for device in devices),
        subjects=_subjects(devices, subjects_of, ends),
        applications=tuple(
            _application(applications, identifier)
            for identifier in sorted({grant.application_id for grant in grants})
        ),
        grants=tuple(_snapshot_grant(grant) for grant in grants),
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
    subjects_of = _subjects_of_users(facts)
    ends = _ends(live_grants(facts, now=now))
    moments.update(
        device.expires_at for device in _live_devices(facts, subjects_of, ends, now=now)
    )
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


def _subjects_of_users(facts: Facts) -> Mapping[int, frozenset[Subject]]:
    """Return, for each owner of a device, the subjects it is."""
    found: defaultdict[int, set[Subject]] = defaultdict(set)
    for device in facts.devices:
        found[device.user_id].add(Subject(kind=SubjectKind.USER, id=device.user_id))
    for user, group in facts.memberships:
        if user in found:
            found[user].add(Subject(kind=SubjectKind.GROUP, id=group))
    return {user: frozenset(subjects) for user, subjects in found.items()}


def _ends(grants: Iterable[Grant]) -> Mapping[Subject, datetime]:
    """Return, for each granted subject, when the last of its grants ends."""
    ends: dict[Subject, datetime] = {}
    for grant in grants:
        ends[grant.subject] = max(
            grant.expires_at, ends.get(grant.subject, grant.expires_at)
        )
    return ends


def _live_devices(
    facts: Facts,
    subjects_of: Mapping[int, frozenset[Subject]],
    ends: Mapping[Subject, datetime],
    *,
    now: datetime,
) -> Iterable[Device]:
    """Return the devices that become peers, by id."""
    revoked = frozenset(facts.revoked_keys)
    for device in sorted(facts.devices, key=lambda device: device.id):
        if device.public_key in revoked or device.expires_at <= now:
            continue
        if not ends.keys().isdisjoint(subjects_of[device.user_id]):
            yield device


def _peer(
    device: Device,
    subjects_of: Mapping[int, frozenset[Subject]],
    ends: Mapping[Subject, datetime],
) -> Peer:
    """Return a device as the gateway sees it."""
    last = max(ends[s] for s in subjects_of[device.user_id] if s in ends)
    return Peer(
        device_id=device.id,
        public_key=device.public_key,
        addresses=tuple(sorted(device.addresses, key=lambda a: (a.version, int(a)))),
        expires_at=min(device.expires_at, last),
    )


def _subjects(
    devices: Iterable[Device],
    subjects_of: Mapping[int, frozenset[Subject]],
    granted: Iterable[Subject],
) -> tuple[SubjectMembers, ...]:
    """Return every granted subject with its devices; a group may have none."""
    members: dict[Subject, list[int]] = {subject: [] for subject in sorted(granted)}
    for device in devices:
        for subject in subjects_of[device.user_id]:
            if subject in members:
                members[subject].append(device.id)
    return tuple(
        SubjectMembers(subject=subject, device_ids=tuple(sorted(ids)))
        for subject, ids in members.items()
    )


def _application(
    applications: Mapping[int, Application], identifier: int
) -> Application:
    """Return a granted application with its destinations in order."""
    if identifier not in applications:
        msg = f"ap_{identifier} is granted but not served by this gateway"
        raise UnknownReferenceError(msg)
    ordered = sorted(
        set(applications[identifier].destinations), key=lambda d: d.sort_key
    )
    return Application(id=identifier, destinations=tuple(ordered))


def _snapshot_grant(grant: Grant) -> SnapshotGrant:
    """Return a live grant as the snapshot lists it."""
    return SnapshotGrant(
        id=grant.id,
        subject=grant.subject,
        application_id=grant.application_id,
        expires_at=grant.expires_at,
    )
