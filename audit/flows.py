"""What a gateway saw of a flow, with the names of those it concerns.

`policies` attributes a gateway's record (whose address was it at that moment?) and
hands the result to `audit.services.record_flows`. Two shapes leave this module: the
facts stored beside the original record, and the row of the searchable projection.
Both are pure functions of the flow, so the projection can be rebuilt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, TypeAlias

from audit.actor import Ref
from audit.models import Connection, FlowEvent, FlowKind, Verdict
from audit.text import visible

IPAddress: TypeAlias = IPv4Address | IPv6Address

NOBODY = Ref(id="")
LABEL_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributedFlow:
    """One record of a gateway, attributed.

    `person`, `device`, `application` and `grant` are `NOBODY` where they are not
    known. Counts are IP level, *up* is from the device; they belong to `close`.
    `body` is the record as the gateway sent it.
    """

    kind: FlowKind
    sequence: int
    at: datetime
    flow: str
    protocol: int
    source: IPAddress
    destination: IPAddress
    source_port: int | None = None
    destination_port: int | None = None
    person: Ref = NOBODY
    device: Ref = NOBODY
    application: Ref = NOBODY
    grant: Ref = NOBODY
    key_fingerprint: str = ""
    generation: int | None = None
    bytes_up: int | None = None
    bytes_down: int | None = None
    packets_up: int | None = None
    packets_down: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)


# Fields of the facts and of the projection that have the same name and value in both.
COPIED = (
    "key_fingerprint",
    "generation",
    "protocol",
    "source_port",
    "destination_port",
    "bytes_up",
    "bytes_down",
    "packets_up",
    "packets_down",
)
NAMED = ("person", "device", "application", "grant")


def facts(flow: AttributedFlow, *, gateway: Ref) -> dict[str, Any]:
    """Return the attribution as JSON; with the event's columns it gives the flow back.

    Values that are absent are left out.
    """
    found: dict[str, Any] = {
        "gateway_label": visible(gateway.label)[:LABEL_LENGTH],
        "source": str(flow.source),
        "destination": str(flow.destination),
        "reason": visible(flow.reason),
    }
    for name in COPIED:
        found[name] = getattr(flow, name)
    for name in NAMED:
        ref: Ref = getattr(flow, name)
        found[f"{name}_id"] = ref.id
        found[f"{name}_label"] = visible(ref.label)[:LABEL_LENGTH]
    for name in ("started_at", "ended_at"):
        moment: datetime | None = getattr(flow, name)
        found[name] = moment.isoformat() if moment else None
    return {name: value for name, value in found.items() if value not in (None, "")}


def bind(device: Ref, enrolments: Mapping[str, str]) -> dict[str, str]:
    """Return what ties a flow to the enrolment of its device: that event's uid."""
    uid = enrolments.get(device.id)
    return {"enrolment": uid} if uid else {}


def stored_flow(event: FlowEvent) -> tuple[Ref, AttributedFlow]:
    """Return the gateway and the flow that a stored event was made from."""
    found = event.attribution
    values: dict[str, Any] = {name: found[name] for name in COPIED if name in found}
    for name in NAMED:
        values[name] = Ref(
            id=found.get(f"{name}_id", ""), label=found.get(f"{name}_label", "")
        )
    for name in ("started_at", "ended_at"):
        values[name] = datetime.fromisoformat(found[name]) if name in found else None
    flow = AttributedFlow(
        kind=FlowKind(event.kind),
        sequence=event.sequence,
        at=event.at,
        flow=event.flow,
        source=ip_address(found["source"]),
        destination=ip_address(found["destination"]),
        reason=found.get("reason", ""),
        body=event.body,
        **values,
    )
    return Ref(id=event.gateway_id, label=found.get("gateway_label", "")), flow


def connection(flow: AttributedFlow, *, gateway: Ref) -> Connection:
    """Return the projection's row as this one record shows it; unsaved."""
    denied = flow.kind is FlowKind.DENY
    ended = flow.kind is not FlowKind.OPEN
    row = Connection(
        gateway_id=gateway.id,
        gateway_label=visible(gateway.label)[:LABEL_LENGTH],
        flow=flow.flow,
        verdict=Verdict.DENIED if denied else Verdict.ALLOWED,
        source=str(flow.source),
        destination=str(flow.destination),
        started_at=flow.started_at or flow.at,
        ended_at=(flow.ended_at or flow.at) if ended else None,
        end_reason=visible(flow.reason)[:32] if ended else "",
        **{name: getattr(flow, name) for name in COPIED},
    )
    for name in NAMED:
        ref: Ref = getattr(flow, name)
        setattr(row, f"{name}_id", ref.id)
        setattr(row, f"{name}_label", visible(ref.label)[:LABEL_LENGTH])
    return row
