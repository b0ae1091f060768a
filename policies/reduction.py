"""What is left of an earlier snapshot when the policy no longer compiles. Pure.

A policy that is broken must not keep a revoked person connected: what can still be
said with certainty is what has *ended*. The result is the earlier snapshot less every
device, membership, grant and destination that the facts no longer hold; nothing that
was not in it can appear. Order of input never matters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from policies.compiler.compile import demanded, end_of, live_grants
from policies.compiler.conditions import Requirement
from policies.compiler.requirements import UNHELD, held_until
from policies.compiler.strictness import stricter
from policies.compiler.types import (
    Application,
    Facts,
    Holder,
    Holders,
    Snapshot,
    SnapshotGrant,
    Subject,
    SubjectKind,
    SubjectMembers,
)
from policies.compiler.validate import check_snapshot


def reduced_snapshot(
    earlier: Snapshot, facts: Facts, *, epoch: int, generation: int, now: datetime
) -> Snapshot:
    """Return `earlier` less everything that has ended since.

    Raises:
        CompilerError: not even that is a well-formed snapshot.
    """
    applications = _applications(earlier, facts)
    grants = _grants(earlier, facts, applications, now)
    owners = _owners(earlier, facts)
    subjects = _subjects(earlier, facts, grants, owners)
    held = {device_id for members in subjects for device_id in members.device_ids}
    granted = {grant.application_id for grant in grants}
    snapshot = replace(
        earlier,
        epoch=epoch,
        generation=generation,
        issued=now,
        peers=tuple(peer for peer in earlier.peers if peer.device_id in held),
        subjects=subjects,
        applications=tuple(app for key, app in applications.items() if key in granted),
        grants=grants,
        revoked_keys=tuple(sorted({*earlier.revoked_keys, *facts.revoked_keys})),
        conditions=_conditions(earlier, facts, grants, held, now),
    )
    check_snapshot(snapshot)
    return snapshot


def _applications(earlier: Snapshot, facts: Facts) -> Mapping[int, Application]:
    served = {app.id: frozenset(app.destinations) for app in facts.applications}
    terms = {app.id: app.strictness for app in facts.applications}
    left = {
        app.id: tuple(
            destination
            for destination in app.destinations
            if destination in served.get(app.id, frozenset())
        )
        for app in earlier.applications
    }
    return {
        app.id: replace(
            app,
            destinations=left[app.id],
            strictness=stricter(app.strictness, terms[app.id]),
        )
        for app in earlier.applications
        if left[app.id]
    }


def _grants(
    earlier: Snapshot,
    facts: Facts,
    applications: Mapping[int, Application],
    now: datetime,
) -> tuple[SnapshotGrant, ...]:
    live = {grant.id: end_of(grant, now=now) for grant in live_grants(facts, now=now)}
    demands = {grant.id: grant.requires for grant in facts.grants}
    return tuple(
        replace(grant, expires_at=min(grant.expires_at, live[grant.id]))
        for grant in earlier.grants
        if grant.id in live
        and grant.application_id in applications
        # One that demands something else is another grant.
        and demands[grant.id] == grant.requires
    )


def _conditions(
    earlier: Snapshot,
    facts: Facts,
    grants: tuple[SnapshotGrant, ...],
    held: Collection[int],
    now: datetime,
) -> tuple[Holders, ...]:
    """Return who held what is demanded, and holds it still."""
    devices = {device.id: device for device in facts.devices if device.id in held}
    proofs = {proof.user_id: proof for proof in facts.authentications}

    def until(wanted: Requirement, holder: Holder) -> datetime:
        device = devices.get(holder.device_id)
        if device is None:
            return UNHELD
        now_held = held_until(wanted, device, proofs.get(device.user_id))
        return min(holder.expires_at, now_held)

    wanted = demanded(grants)
    return tuple(
        replace(
            part,
            holders=tuple(
                replace(holder, expires_at=end)
                for holder in part.holders
                if now < (end := until(part.requirement, holder))
            ),
        )
        for part in earlier.conditions
        if part.requirement in wanted
    )


def _owners(earlier: Snapshot, facts: Facts) -> Mapping[int, int]:
    """Return the owner of each peer that is still a live device with that key."""
    live = {device.id: device for device in facts.devices}
    revoked = frozenset(facts.revoked_keys)
    return {
        peer.device_id: live[peer.device_id].user_id
        for peer in earlier.peers
        if peer.device_id in live
        and live[peer.device_id].public_key == peer.public_key
        and peer.public_key not in revoked
    }


def _subjects(
    earlier: Snapshot,
    facts: Facts,
    grants: tuple[SnapshotGrant, ...],
    owners: Mapping[int, int],
) -> tuple[SubjectMembers, ...]:
    memberships = frozenset(facts.memberships)
    granted = {grant.subject for grant in grants}

    def holds(subject: Subject, device_id: int) -> bool:
        owner = owners.get(device_id)
        if owner is None or subject.kind is SubjectKind.USER:
            return owner == subject.id
        return (owner, subject.id) in memberships

    return tuple(
        replace(
            members,
            device_ids=tuple(
                device_id
                for device_id in members.device_ids
                if holds(members.subject, device_id)
            ),
        )
        for members in earlier.subjects
        if members.subject in granted
    )
