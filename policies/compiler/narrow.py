"""The part of a snapshot that concerns one device. Pure.

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
