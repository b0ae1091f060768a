"""Parts of a snapshot, for judging by them. Pure.

Whoever judges many packets of few devices would else read the whole snapshot for each.
"""

from __future__ import annotations

from dataclasses import replace

from policies.compiler.types import Snapshot


def of_device(snapshot: Snapshot, device_id: int) -> Snapshot:
    """Return a snapshot that judges this device's packets as the whole one does.

    Of every other device it knows nothing; of one that is no peer, neither.
    """
    subjects = tuple(
        replace(entry, device_ids=(device_id,))
        for entry in snapshot.subjects
        if device_id in entry.device_ids
    )
    held = {entry.subject for entry in subjects}
    return replace(
        snapshot,
        peers=tuple(peer for peer in snapshot.peers if peer.device_id == device_id),
        subjects=subjects,
        grants=tuple(grant for grant in snapshot.grants if grant.subject in held),
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
