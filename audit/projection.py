"""How flow events become connections: the same fold for writing and for checking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from audit.flows import COPIED, NAMED, connection
from audit.models import Connection, FlowKind, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audit.actor import Ref
    from audit.flows import AttributedFlow

# The parts of a connection that its end tells; everything else is told at its
# beginning, or at its end when the beginning was lost.
END: Final = (
    "bytes_up",
    "bytes_down",
    "packets_up",
    "packets_down",
    "ended_at",
    "end_reason",
)
BEGINNING: Final = (
    "gateway_label",
    *(f"{name}_{part}" for name in NAMED for part in ("id", "label")),
    *(name for name in COPIED if name not in END),
    "source",
    "destination",
    "started_at",
)

Key: TypeAlias = tuple[str, str, str]


@dataclass(slots=True)
class Told:
    """One connection as some records tell it, and which parts of it were told."""

    row: Connection
    beginning: bool
    end: bool

    def hear(self, other: Told) -> None:
        """Take over what a later record of the same flow tells."""
        for name in other.fields:
            setattr(self.row, name, getattr(other.row, name))
        self.beginning |= other.beginning
        self.end |= other.end

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the fields to overwrite where the connection exists already."""
        if self.row.verdict == Verdict.DENIED:
            return ("ended_at",)
        return BEGINNING * self.beginning + END * self.end


def key(row: Connection) -> Key:
    """Return what makes a connection that one and no other."""
    return row.gateway_id, row.flow, row.verdict


def folded(flows: Iterable[tuple[Ref, AttributedFlow]]) -> dict[Key, Told]:
    """Return the connections that records tell, which come by their sequence."""
    found: dict[Key, Told] = {}
    for gateway, flow in flows:
        row = connection(flow, gateway=gateway)
        told = Told(
            row, beginning=flow.kind is FlowKind.OPEN, end=flow.kind is FlowKind.CLOSE
        )
        if key(row) in found:
            found[key(row)].hear(told)
        else:
            found[key(row)] = told
    return found
