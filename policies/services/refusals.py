"""A gateway's request that was refused after its signature was found good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit.events import EventCode, Outcome
from audit.services import record

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor
    from peers.models import Gateway


def refuse_gateway_request(
    *, gateway: Gateway, channel: str, reason: str, actor: Actor, now: datetime
) -> None:
    """Record the refusal; the caller changes nothing and says why."""
    record(
        EventCode.GATEWAY_REQUEST_REFUSED,
        actor=actor,
        now=now,
        outcome=Outcome.REFUSED,
        gateway=gateway.ref,
        reason=reason,
        details={"channel": channel},
    )
