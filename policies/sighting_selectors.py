"""Where a device was seen last. No gate: who asks was let see the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import OuterRef, Subquery

from peers.models import Gateway
from policies.models import TunnelSighting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peers.models import Device


def latest_sightings(device: Device) -> Sequence[TunnelSighting]:
    """Return the last sighting of a device at each gateway, the newest first."""
    seen = TunnelSighting.objects.filter(device=device, gateway=OuterRef("pk"))
    last = seen.order_by("-seen_at", "-pk").values("pk")[:1]
    found = Gateway.objects.annotate(last=Subquery(last)).values("last")
    rows = TunnelSighting.objects.filter(pk__in=found).select_related("gateway")
    return [*rows.order_by("-seen_at", "-pk")]
