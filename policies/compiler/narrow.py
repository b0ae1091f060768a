"""Parts and readings of a snapshot for judging many old flows by it. Pure."""

from __future__ import annotations

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
