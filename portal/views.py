"""Views that belong to no room."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from audit.log_states import log_states

if TYPE_CHECKING:
    from audit.http import PortalRequest


@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """Say that the portal answers and its database too."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})


@require_safe
def log_health(request: PortalRequest) -> JsonResponse:
    """Say whether both logs are signed in time; 503 where somebody has to look.

    Apart from `healthz`: a portal whose sealer stands must go on revoking.
    """
    told = {
        state.log.value: "ok"
        if state.is_well
        else "refused"
        if state.refusal
        else "overdue"
        for state in log_states(request.received_at)
    }
    is_well = set(told.values()) == {"ok"}
    status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
    return JsonResponse({"status": "ok" if is_well else "look", **told}, status=status)
