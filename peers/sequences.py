"""One holder of a key, or two: judged by a request's number and date. Pure (ADR-0020).

A gateway numbers the requests of each channel upwards, and signs number and date
together. Whoever replays a request repeats both. A number that was reached before under
a date that is *later* than every date accepted was signed by somebody who does not know
that the number was reached: a second holder of the key.

* The number decides what is accepted; a gateway's clock may step back.
* The date kept is the latest accepted, so nothing that was accepted, and nothing that
  was signed before it, can ever look like a second holder: replaying locks nobody.
* Number 0 under a date is a channel that an administrator released: it begins anew, but
  only with what is signed after the release.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Verdict(Enum):
    """What a request's number and date say of its sender."""

    ACCEPTED = auto()
    REPLAYED = auto()
    SECOND_HOLDER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The last number of a channel, and the latest date signed (seconds since 1970).

    A date of 0 is not known: the channel is new, or older than this rule.
    """

    sequence: int = 0
    created: int = 0


def judge(last: Position, seen: Position) -> Verdict:
    """Return what a signed request says about its sender, given what was accepted."""
    is_later = seen.created > last.created
    if last.sequence == 0 and last.created:
        return Verdict.ACCEPTED if is_later else Verdict.REPLAYED
    if seen.sequence > last.sequence:
        return Verdict.ACCEPTED
    if last.created and is_later:
        return Verdict.SECOND_HOLDER
    return Verdict.REPLAYED


def advanced(last: Position, seen: Position) -> Position:
    """Return where a channel stands when `seen` was accepted after `last`."""
    return Position(sequence=seen.sequence, created=max(last.created, seen.created))
