"""The connections that people search, against the flow events they were drawn from.

The projection is no evidence, but it is what people look at; somebody who changes only
it would be believed. Both sides are read in parts, so that a log of any size is
compared in little memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from audit.flows import stored_flow
from audit.models import Connection, FlowEvent, FlowKind, Verdict
from audit.parts import parts
from audit.projection import BEGINNING, END, folded, key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from audit.actor import Ref
    from audit.flows import AttributedFlow
    from audit.projection import Key

# Below SQLite's limit of parameters.
PART: Final = 500
COLUMNS: Final = (*BEGINNING, *END)
BESIDE: Final = ("leaf", "nonce", "received_at")
"""Columns of an event that tell nothing of its connection."""
ADDRESSES: Final = frozenset({"source", "destination"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One connection that is not what its events say. `number` is the row's, if any."""

    number: int | None
    key: Key
    message: str

    def __str__(self) -> str:
        """Return it as a line for people."""
        number = f"connection {self.number}: " if self.number else ""
        return f"{number}{' '.join(self.key)}: {self.message}"


def differences() -> Iterator[Difference]:
    """Yield every connection that differs from its flow events, or has none."""
    rows = Connection.objects.order_by("pk").iterator(PART)
    for part in parts(rows, PART):
        told = _told({row.flow for row in part})
        for row in part:
            if key(row) not in told:
                yield _difference(row, "no flow event tells of it")
            elif changed := _changed(row, told[key(row)]):
                yield _difference(row, f"not as its events tell: {', '.join(changed)}")
    yield from _missing()


def _missing() -> Iterator[Difference]:
    """Yield what the events tell of and no connection shows.

    Part by part: without statistics PostgreSQL would compare each event with every
    connection of its gateway.
    """
    events = FlowEvent.objects.order_by("pk").values_list("gateway_id", "flow", "kind")
    for part in parts(events.iterator(PART), PART):
        keys = {
            (gateway, flow, _verdict(kind))
            for gateway, flow, kind in part
            if kind in FlowKind.values
        }
        shown = Connection.objects.filter(flow__in={flow for _, flow, _ in keys})
        held = set(shown.values_list("gateway_id", "flow", "verdict"))
        for absent in sorted(keys - held):
            yield Difference(
                number=None, key=absent, message="its events have no connection"
            )


def _told(flows: set[str]) -> dict[Key, Connection]:
    events = FlowEvent.objects.filter(flow__in=flows).defer(*BESIDE)
    ordered = events.order_by("gateway_id", "sequence")
    return {name: told.row for name, told in folded(_readable(ordered)).items()}


def _readable(events: Iterable[FlowEvent]) -> Iterator[tuple[Ref, AttributedFlow]]:
    """Yield flows; an event that cannot be read was edited, and `fsck` names it."""
    for event in events:
        try:
            yield stored_flow(event)
        except (ValueError, LookupError, TypeError, AttributeError):
            continue


def _changed(row: Connection, told: Connection) -> list[str]:
    pairs = ((name, getattr(row, name), getattr(told, name)) for name in COLUMNS)
    return [
        name
        for name, shown, meant in pairs
        if shown != meant and not (name in ADDRESSES and _is_same(shown, meant))
    ]


def _is_same(one: str, other: str) -> bool:
    """Return whether two spellings are of one address: PostgreSQL has its own."""
    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return False


def _verdict(kind: str) -> str:
    return (Verdict.DENIED if kind == FlowKind.DENY else Verdict.ALLOWED).value


def _difference(row: Connection, message: str) -> Difference:
    return Difference(number=row.pk, key=key(row), message=message)
