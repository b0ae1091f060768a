"""How long an application may go on without news, and whether without evidence. Values.

Both only narrow what the deployment's lease allows, except `BEST_EFFORT`, which is
said by name: access goes on while evidence is lost, and the loss is counted (ADR-0024).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policies.compiler.errors import InvalidValueError

MIN_STALENESS: Final = 60
"""Seconds. A poll waits for 25 already; less would close at every hiccup, and could
not be kept when the agent dies, because the kernel's own lease is 60 (ADR-0024)."""

MAX_STALENESS: Final = 86_400
"""Seconds. The lease of the deployment ends before, and is the rule."""


class Evidence(StrEnum):
    """What becomes of access while connections cannot be recorded durably."""

    STRICT = "strict"
    BEST_EFFORT = "best_effort"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strictness:
    """An application's own terms; as made without arguments, those of the deployment.

    `max_staleness` is in seconds since the portal's last word, None for the lease's.

    Raises:
        InvalidValueError: less than a minute, or more than a day.
    """

    max_staleness: int | None = None
    evidence: Evidence = Evidence.STRICT

    def __post_init__(self) -> None:
        """Refuse a limit that could not be kept, or that is none."""
        limit = self.max_staleness
        if limit is not None and not MIN_STALENESS <= limit <= MAX_STALENESS:
            msg = (
                f"{limit} seconds are no limit from {MIN_STALENESS} to {MAX_STALENESS}"
            )
            raise InvalidValueError(msg)

    @property
    def is_strict(self) -> bool:
        """Whether nothing may pass that cannot be recorded."""
        return self.evidence is Evidence.STRICT


ORDINARY: Final = Strictness()
"""The deployment's lease, and no access without evidence."""


def stricter(left: Strictness, right: Strictness) -> Strictness:
    """Return terms that keep both."""
    limits = [s.max_staleness for s in (left, right) if s.max_staleness is not None]
    is_strict = left.is_strict or right.is_strict
    return Strictness(
        max_staleness=min(limits, default=None),
        evidence=Evidence.STRICT if is_strict else Evidence.BEST_EFFORT,
    )
