"""A signed step to a higher epoch: how a restored portal goes on. Pure (ADR-0021).

An epoch is one history of generations. A portal that was restored from a backup has
lost the end of its history, and its gateways refuse to go back; it may only begin a
new one, above everything that they hold. What a gateway accepts says `gateway.trust`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from policies.compiler.canonical import (
    canonical_json,
    check_version,
    fields,
    integer,
    parse_json,
    parse_time,
    text,
    time_text,
)
from policies.compiler.errors import InvalidValueError, SnapshotFormatError

VERSION: Final = 1
_STEP: Final = frozenset(
    {"version", "deployment", "audience", "from", "to", "generation", "issued"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochStep:
    """From which epoch to which; `generation` is the first that the new one may have.

    Raises:
        InvalidValueError: it does not go up.
    """

    deployment: str
    audience: str
    before: int
    after: int
    generation: int
    issued: datetime

    def __post_init__(self) -> None:
        """Refuse a step that stays or goes down."""
        if self.after <= self.before:
            raise InvalidValueError(f"epoch {self.after} is not above {self.before}")


def epoch_bytes(step: EpochStep) -> bytes:
    """Return the canonical bytes of a step: what is signed."""
    return canonical_json(
        {
            "version": VERSION,
            "deployment": step.deployment,
            "audience": step.audience,
            "from": step.before,
            "to": step.after,
            "generation": step.generation,
            "issued": time_text(step.issued),
        }
    )


def parse_epoch(data: bytes) -> EpochStep:
    """Return the step that `epoch_bytes` wrote as `data`.

    Raises:
        CompilerError: anything else, and a step that does not go up.
    """
    top = fields(parse_json(data), _STEP)
    check_version(top, {VERSION})
    step = EpochStep(
        deployment=text(top["deployment"]),
        audience=text(top["audience"]),
        before=integer(top["from"]),
        after=integer(top["to"]),
        generation=integer(top["generation"]),
        issued=parse_time(top["issued"]),
    )
    if epoch_bytes(step) != data:
        msg = "not the canonical form of an epoch step"
        raise SnapshotFormatError(msg)
    return step
