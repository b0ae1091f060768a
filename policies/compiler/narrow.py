"""What a snapshot may let pass where nobody knows what a name stood for. Pure."""

from __future__ import annotations

from dataclasses import replace

from policies.compiler.types import Snapshot


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
