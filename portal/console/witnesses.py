"""The page of the log itself: how it is sealed, who witnesses it, and its disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.views.decorators.http import require_safe

from audit import room
from audit.log_states import log_states
from audit.witness_states import witnessing
from portal.accounts.access import reader_required
from portal.console.pages import page

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest


@require_safe
@reader_required
def witnesses(request: PortalRequest) -> HttpResponse:
    found = witnessing()
    try:
        disk, disk_problem = room.look(), ""
    except OSError as exc:
        disk, disk_problem = None, str(exc)
    return page(
        request,
        "witness_list.html",
        title="Seals and witnesses",
        states=log_states(request.received_at),
        policy=found.policy,
        problem=found.problem,
        witnesses=found.witnesses,
        quorums=found.quorums,
        disk=disk,
        disk_problem=disk_problem,
    )
