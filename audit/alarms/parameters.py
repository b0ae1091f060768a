"""The numbers of alarm rules that a deployment may set. Pure.

Each is set by the environment, `PEERAGE_ALARM_` and its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A number that a deployment may set, with its bounds and its unit in words."""

    name: str
    default: int
    minimum: int
    maximum: int
    words: str

    @property
    def variable(self) -> str:
        """Return the environment's name of it."""
        return f"PEERAGE_ALARM_{self.name}"


QUIET_MINUTES: Final = Parameter(
    name="QUIET_MINUTES",
    default=60,
    minimum=1,
    maximum=10_080,
    words="minutes until an alarm that goes on notifies again",
)
DENIED_COUNT: Final = Parameter(
    name="DENIED_COUNT",
    default=20,
    minimum=2,
    maximum=10_000,
    words="denied connections of one device",
)
DENIED_SECONDS: Final = Parameter(
    name="DENIED_SECONDS",
    default=60,
    minimum=1,
    maximum=86_400,
    words="seconds within which they are a burst",
)
LEARNING_DAYS: Final = Parameter(
    name="LEARNING_DAYS",
    default=14,
    minimum=1,
    maximum=365,
    words="days during which everything a person uses is only learned",
)
DORMANT_DAYS: Final = Parameter(
    name="DORMANT_DAYS",
    default=30,
    minimum=1,
    maximum=3_650,
    words="days without a handshake or a connection",
)
CHECKPOINT_SECONDS: Final = Parameter(
    name="CHECKPOINT_SECONDS",
    default=60,
    minimum=20,
    maximum=86_400,
    words="seconds without a new checkpoint; one is due every 10",
)
REVOCATION_SECONDS: Final = Parameter(
    name="REVOCATION_SECONDS",
    default=30,
    minimum=1,
    maximum=86_400,
    words="seconds within which every gateway confirms a revocation",
)
REFUSED_COUNT: Final = Parameter(
    name="REFUSED_COUNT",
    default=20,
    minimum=2,
    maximum=10_000,
    words="refusals of one person, or of one place that is nobody",
)
REFUSED_SECONDS: Final = Parameter(
    name="REFUSED_SECONDS",
    default=300,
    minimum=1,
    maximum=86_400,
    words="seconds within which they are a burst",
)
