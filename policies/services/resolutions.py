"""What gateways say that host names stand for: kept, and logged where it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from audit.events import EventCode
from audit.services import record
from policies.models import Resolution

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from audit.actor import Actor
    from peers.models import Gateway


def record_resolution(
    *, gateway: Gateway, names: Mapping[str, list[str]], actor: Actor, now: datetime
) -> Resolution:
    """Keep what a gateway's names stand for; the event names those that changed."""
    with transaction.atomic():
        row, _ = Resolution.objects.select_for_update().get_or_create(
            gateway=gateway, defaults={"told_at": now}
        )
        before: Mapping[str, list[str]] = row.names
        row.names, row.told_at = dict(names), now
        row.save(update_fields=["names", "told_at"])
        changed = {
            host: names.get(host, [])
            for host in sorted({*before, *names})
            if before.get(host, []) != names.get(host, [])
        }
        if changed:
            record(
                EventCode.GATEWAY_NAMES,
                actor=actor,
                now=now,
                gateway=gateway.ref,
                details={"names": changed},
            )
    return row
