"""Reading which gateways are, and were, ahead of a portal that was restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied

from peers.models import GatewayState
from policies.models import GatewayRecovery

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from portal.accounts.models import User


def list_recoveries_for(user: User) -> QuerySet[GatewayRecovery]:
    """Return every recovery to a reader, newest first, with devices and owners."""
    if not user.is_reader:
        raise PermissionDenied
    return GatewayRecovery.objects.select_related("gateway").prefetch_related(
        "devices__owner"
    )


def gateways_ahead() -> QuerySet[GatewayRecovery]:
    """Return what is open of gateways that still may speak, by name; not a gate."""
    return (
        GatewayRecovery.objects.filter(
            ended_at=None, gateway__state=GatewayState.ENROLLED
        )
        .select_related("gateway")
        .order_by("gateway__name")
    )
