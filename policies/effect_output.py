"""What a change would do, as values that JSON can carry: for commands and the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.conf import settings

from portal.accounts.models import User

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audit.models import Connection
    from audit.services import Json
    from policies.whatif import Outlook

LISTED: Final = 1000
"""So many connections are listed, the largest; all are counted."""


def outlook_output(found: Outlook) -> dict[str, Json]:
    """Return who gains and loses what, largest first, and what is cut."""
    names = {
        user.pk: {"id": user.ref.id, "name": str(user)}
        for user in User.objects.order_by("pk")
        if user.pk in found.effect.people
    }
    return {
        "digest": found.digest,
        "people_with_access": len(found.effect.holders),
        "people_losing": len(found.effect.losers),
        "people_gaining": len(found.effect.gainers),
        "rows": [
            {
                "kind": row.kind.value,
                "application": {
                    "id": f"ap_{row.application_id}",
                    "name": found.applications[row.application_id],
                },
                "destinations": [*row.destinations],
                "people": [names[person] for person in row.people],
            }
            for row in found.effect.rows
        ],
        "devices_losing": [f"dv_{device}" for device in sorted(found.devices)],
        "devices_gaining": [f"dv_{device}" for device in sorted(found.gaining)],
        "connections": cut_output(found.cut),
        "terms": [
            {"application": name, "before": before, "after": after}
            for name, before, after in found.terms
        ],
        "gateways_unknown": dict(found.broken),
        "brake": {
            "percent": settings.PEERAGE_POLICY_BRAKE_PERCENT,
            "is_on": found.is_braked,
        },
    }


def cut_output(cut: Sequence[Connection]) -> dict[str, Json]:
    """Return the connections that are cut; bytes are null until gateways tell them."""
    return {
        "count": len(cut),
        "cut": [
            {
                "person": row.person_label,
                "device": row.device_label,
                "gateway": row.gateway_label,
                "application": row.application_label,
                "destination": row.destination,
                "protocol": row.protocol,
                "port": row.destination_port,
                "opened_at": f"{row.started_at:%Y-%m-%dT%H:%M:%SZ}",
                "bytes_up": row.bytes_up,
                "bytes_down": row.bytes_down,
            }
            for row in cut[:LISTED]
        ],
    }
