"""Gateways whose clock is not ours: told while their requests still count."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.core.cache import cache

from audit.actor import Actor
from audit.events import EventCode, Outcome
from audit.services import record
from peers.models import Gateway

QUIET: Final = timedelta(hours=1)
"""Told again so often while it lasts."""


def report_clock(*, gateway: Gateway, skew: float, actor: Actor, now: datetime) -> None:
    """Tell that a gateway's clock is `skew` seconds ahead; once in `QUIET`.

    Which of the two is wrong nobody can tell here; where it is ours, every gateway is
    told of.
    """
    key = f"peerage.clock.{gateway.pk}"
    if not cache.add(key, 1, timeout=QUIET.total_seconds()):
        return
    record(
        EventCode.GATEWAY_CLOCK,
        actor=actor,
        now=now,
        outcome=Outcome.ALERT,
        gateway=gateway.ref,
        reason=f"{abs(skew):.0f} seconds {'ahead of' if skew > 0 else 'behind'} ours",
        details={"ahead_seconds": round(skew)},
    )
