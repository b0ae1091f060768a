"""The receipt of a connection that people see, made from the database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from audit.events import EventCode
from audit.models import (
    AuditEvent,
    FlowEvent,
    FlowKind,
    Log,
    SealedLeaf,
    SealerState,
    Verdict,
)
from audit.receipts import CONNECTION, ENROLMENT, KEY, SIGN_IN, receipt, step
from audit.sealed_files import SealedFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from audit.models import Connection

PERSON_STEPS: Final = (KEY, ENROLMENT, SIGN_IN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a step of the chain is: its event, and the index once it was sealed."""

    step: str
    log: Log
    event: AuditEvent | FlowEvent
    index: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What a receipt of a connection can show now.

    `missing` are steps that no event tells of, for instance because the device was
    enrolled before sign-ins were tied to enrolments.
    """

    places: tuple[Place, ...]
    missing: tuple[str, ...]

    @property
    def is_sealed(self) -> bool:
        """Return whether everything that is there can be proved already."""
        return all(place.index is not None for place in self.places)


def chain(row: Connection) -> Chain:
    """Return the steps from a connection to the sign-in of its person."""
    flows = _flow_events(row)
    facts = flows[0].attribution if flows else {}
    told = _person_events(facts) if facts.get("device_id") else {}
    found: list[tuple[str, Log, AuditEvent | FlowEvent]] = [
        (CONNECTION, Log.CONNECTIONS, event) for event in flows
    ]
    found += [(name, Log.CONTROL, told[name]) for name in PERSON_STEPS if name in told]
    places = tuple(
        Place(step=name, log=log, event=event, index=_index(log, event))
        for name, log, event in found
    )
    shown = {place.step for place in places}
    return Chain(
        places=places,
        missing=tuple(
            name for name in (CONNECTION, *PERSON_STEPS) if name not in shown
        ),
    )


def connection_receipt(made: Chain, *, with_names: bool) -> str:
    """Return the receipt of a chain that is sealed.

    With names it shows the rows, and the salts that open what the leaves only commit
    to. Who holds a person's salt recognises them in every leaf they hold.
    """
    steps = [
        step(place.step, SealedFiles(place.log), None, place.index)
        for place in made.places
        if place.index is not None
    ]
    if not with_names:
        steps = [replace(found, row=None, salts={}) for found in steps]
    return receipt(steps)


def is_sealing() -> bool:
    """Return whether anything was ever sealed here."""
    return SealerState.objects.exists()


def _flow_events(row: Connection) -> list[FlowEvent]:
    """Return beginning and end of a connection, or the first packet denied."""
    events = FlowEvent.objects.filter(gateway_id=row.gateway_id, flow=row.flow)
    if row.verdict == Verdict.DENIED:
        return list(events.filter(kind=FlowKind.DENY).order_by("sequence")[:1])
    return list(events.exclude(kind=FlowKind.DENY).order_by("sequence"))


def _person_events(facts: Mapping[str, Any]) -> dict[str, AuditEvent]:
    events = AuditEvent.objects.order_by("id")
    found = {
        KEY: events.filter(
            code=EventCode.KEY_REGISTERED,
            device_id=facts["device_id"],
            details__fingerprint=facts.get("key_fingerprint", ""),
        ).first()
    }
    if enrolment := facts.get("enrolment"):
        found[ENROLMENT] = made = events.filter(uid=enrolment).first()
        if made and (sign_in := made.details.get("sign_in")):
            found[SIGN_IN] = events.filter(uid=sign_in).first()
    return {name: event for name, event in found.items() if event is not None}


def _index(log: Log, event: AuditEvent | FlowEvent) -> int | None:
    place = SealedLeaf.objects.filter(log=log, event_id=event.pk).first()
    return place.index if place else None
