"""Where a gateway says it stands, read strictly. Pure.

A poll names the generation in force (`after`), the epoch, and since agents can be told
from a portal that was restored also what is held, by its digest (`holds`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policies.errors import AcknowledgementError

MAX_EPOCH: Final = 2**31 - 1_000_000
"""Higher than any history leads; what is stored in the database ends at 2**31."""
NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
HOLDS: Final = re.compile(
    r"([1-9][0-9]{0,9})\.([1-9][0-9]{0,15})\.([0-9a-f]{64})", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshotted:
    """A snapshot by its number and the digest of its payload."""

    epoch: int
    generation: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What is published for a gateway, and whether a recovery of it is open."""

    current: Snapshotted
    is_recovering: bool

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and generation."""
        return self.current.epoch, self.current.generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a gateway enforces, in which epoch it is, and what it holds, if it says.

    With `takes_delta` it may be told what changed since what it holds.
    """

    epoch: int
    generation: int
    holds: Snapshotted | None
    takes_delta: bool

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and generation, to compare with what was published."""
        return self.epoch, self.generation


def parse_standing(query: Mapping[str, str]) -> Standing:
    """Return where the gateway stands.

    Raises:
        AcknowledgementError: a number is missing or malformed.
    """
    epoch, after = query.get("epoch", ""), query.get("after", "")
    holds = query.get("holds")
    held = HOLDS.fullmatch(holds) if holds is not None else None
    if (
        not (NUMBER.fullmatch(epoch) and NUMBER.fullmatch(after))
        or int(epoch) > MAX_EPOCH
        or (holds is not None and (held is None or int(held[1]) > MAX_EPOCH))
    ):
        msg = "a poll says after=GENERATION, epoch=EPOCH and perhaps what it holds"
        raise AcknowledgementError(msg)
    return Standing(
        epoch=int(epoch),
        generation=int(after),
        holds=held
        and Snapshotted(epoch=int(held[1]), generation=int(held[2]), digest=held[3]),
        takes_delta=held is not None and query.get("delta") == "1",
    )
