"""A log with entries in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audit.actor import SYSTEM
from audit.events import EventCode, Outcome
from audit.flows import AttributedFlow
from audit.models import AuditEvent, FlowEvent, Log
from audit.services import record, record_flows
from tests.audit.conftest import ALICE, GATEWAY
from tests.audit.streams.conftest import NOON

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def ranks(log: Log, places: Iterable[int]) -> list[int]:
    """Return places as their rank in the log: 0 is its first entry there is."""
    model = AuditEvent if log is Log.CONTROL else FlowEvent
    keys = list(model.objects.order_by("pk").values_list("pk", flat=True))
    return [keys.index(place) for place in places]


def write_events(count: int, **facts: Any) -> list[AuditEvent]:  # noqa: ANN401 -- the facts of an event
    """Write control events."""
    values: dict[str, Any] = {"actor": SYSTEM, "now": NOON, "person": ALICE, **facts}
    code = values.pop("code", EventCode.USER_LOGIN)
    return [record(code, **values) for _ in range(count)]


def write_refusals(count: int) -> list[AuditEvent]:
    """Write control events above the least severity."""
    return write_events(count, outcome=Outcome.REFUSED)


def write_flows(flows: Sequence[AttributedFlow]) -> None:
    """Write records of flows."""
    record_flows(gateway=GATEWAY, flows=flows, now=NOON)
