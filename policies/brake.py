"""When a change takes so much from so many that it is confirmed twice. Pure.

What is lost now is not all: in the evening nobody is in their hours, and after a long
night nobody has signed in of late. Whoever ends the grants of everybody then takes as
much. So the brake also counts what would be lost if every grant that is not over were
in force, for every device.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from policies.compiler.types import Facts, Grant
    from policies.effects import Effect


def at_any_time(facts: Facts, *, now: datetime) -> Facts:
    """Return facts in which grants demand nothing, and all have begun."""
    return replace(
        facts,
        grants=tuple(
            replace(
                grant, not_before=min(now, grant.not_before), hours=None, requires=()
            )
            for grant in facts.grants
        ),
    )


def are_conditional(grants: Iterable[Grant], *, now: datetime) -> bool:
    """Return whether any time may differ from now, for any of the grants."""
    return any(
        grant.hours is not None or grant.requires or now < grant.not_before
        for grant in grants
    )


def braking(now: Effect, ever: Effect, *, percent: int) -> Effect | None:
    """Return the effect that is too large: that of now, else that at any time."""
    return next((found for found in (now, ever) if found.exceeds(percent)), None)
