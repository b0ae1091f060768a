"""Parts and readings of a snapshot: what is left of it by some narrower view. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from policies.compiler.evaluate import device_part
from policies.compiler.types import Snapshot


def of_device(snapshot: Snapshot, device_id: int) -> Snapshot:
    """Return what decides about one device, without what it was never granted."""
    part = device_part(snapshot, device_id)
    granted = {grant.application_id for grant in part.grants}
    return replace(
        part,
        applications=tuple(a for a in part.applications if a.id in granted),
    )


def whatever_names_stand_for(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot whose host names stand for every address they may.

    What a name stood for at a moment is nowhere kept. This says what it may have let
    pass; the snapshot itself says what passed whatever it stood for.
    """
    return replace(
        snapshot,
        applications=tuple(
            replace(
                application,
                destinations=tuple(
                    replace(destination, host="")
                    for destination in application.destinations
                ),
            )
            for application in snapshot.applications
        ),
    )


def without_keys(snapshot: Snapshot, keys: AbstractSet[str]) -> Snapshot:
    """Return a snapshot in which no peer has one of these keys.

    The very same snapshot when none has: whoever holds it may ask by identity.
    """
    gone = frozenset(p.device_id for p in snapshot.peers if p.public_key in keys)
    if not gone:
        return snapshot
    return replace(
        snapshot,
        peers=tuple([p for p in snapshot.peers if p.device_id not in gone]),
        subjects=tuple(
            members
            if gone.isdisjoint(members.device_ids)
            else replace(
                members,
                device_ids=tuple([d for d in members.device_ids if d not in gone]),
            )
            for members in snapshot.subjects
        ),
        conditions=tuple(
            replace(
                part,
                holders=tuple([h for h in part.holders if h.device_id not in gone]),
            )
            for part in snapshot.conditions
        ),
    )
