"""A gateway's part in a revocation ends, once, by whichever report comes first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from audit.actor import Ref
from audit.events import EventCode
from audit.services import Json, record
from policies.models import RevocationTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from audit.actor import Actor
    from peers.models import Gateway


def close_target(
    target: RevocationTarget,
    *,
    gateway: Gateway,
    received_at: datetime,
    applied_at: datetime,
    flows_cut: int,
    timings: Mapping[str, float],
    by: Mapping[str, Json],
    actor: Actor,
    now: datetime,
) -> None:
    """Note when a gateway enforced a revocation; the second report changes nothing.

    `by` says, for the event, what it reported: a notice or a generation. The gateway's
    clock counts within what the portal knows to be possible.
    """
    revocation = target.revocation

    def possible(moment: datetime) -> datetime:
        return min(max(moment.astimezone(UTC), revocation.requested_at), now)

    enforced_at = possible(applied_at)
    closed = RevocationTarget.objects.filter(
        pk=target.pk, enforced_at__isnull=True
    ).update(
        received_at=possible(received_at),
        enforced_at=enforced_at,
        reported_at=now,
        flows_cut=flows_cut,
        timings=dict(timings),
    )
    if not closed:
        return
    waited = enforced_at - revocation.requested_at
    record(
        EventCode.REVOCATION_ENFORCED,
        actor=actor,
        now=now,
        person=revocation.user.ref,
        gateway=gateway.ref,
        target=Ref(id=f"rv_{revocation.pk}", label=str(revocation)),
        details={
            **by,
            "flows_cut": flows_cut,
            "after_us": round(waited.total_seconds() * 1_000_000),
            "applied_at": applied_at.isoformat(),
        },
    )
