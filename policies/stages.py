"""The stages of a revocation at one gateway, and how long past ones took. Pure reading.

Times are from the click. The gateway's own stages are by its clock, which is kept
within what the portal knows to be possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from policies.models import Revocation, RevocationTarget

MILLISECOND: Final = timedelta(milliseconds=1)
ELEMENTS: Final = ("verify_ms", "persist_ms", "nftables_ms", "wireguard_ms")
BOUNDS: Final = (50, 100, 200, 500, 1_000, 5_000, 60_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step and when it was done, milliseconds from the click, or None."""

    name: str
    label: str
    after_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """How many gateways enforced a revocation within a bound, beyond the one before."""

    label: str
    count: int


def stages(revocation: Revocation, target: RevocationTarget) -> tuple[Stage, ...]:
    """Return every stage of one gateway's part, in order."""
    elements = None
    if target.received_at is not None and target.timings:
        spent = sum(float(target.timings.get(name, 0)) for name in ELEMENTS)
        elements = target.received_at + timedelta(milliseconds=spent)
        if target.enforced_at is not None:
            elements = min(elements, target.enforced_at)
    moments = (
        ("committed", "committed", revocation.committed_at),
        ("notified", "told", target.notified_at),
        ("received", "received", target.received_at),
        ("applied", "peer removed", elements),
        ("flows_cut", "connections cut", target.enforced_at),
        ("reported", "reported", target.reported_at),
    )
    return tuple(
        Stage(name=name, label=label, after_ms=_after(revocation, moment))
        for name, label, moment in moments
    )


def histogram(milliseconds: Iterable[int]) -> Sequence[Bar]:
    """Return how many fall below each bound; empty if there are none at all."""
    found = list(milliseconds)
    if not found:
        return ()
    bars, below = [], 0
    for bound in BOUNDS:
        count = sum(value <= bound for value in found)
        bars.append(Bar(label=f"up to {_text(bound)}", count=count - below))
        below = count
    return [*bars, Bar(label=f"over {_text(BOUNDS[-1])}", count=len(found) - below)]


def _after(revocation: Revocation, moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return max(0, round((moment - revocation.requested_at) / MILLISECOND))


def _text(bound: int) -> str:
    return f"{bound} ms" if bound < 1_000 else f"{bound // 1_000} s"  # noqa: PLR2004 -- a second
