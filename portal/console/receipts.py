"""The receipt of a connection: what it proves, and the file to hand on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from audit import connection_receipts
from audit import selectors as audit_selectors
from audit.models import Log
from audit.search.filters import Filter
from audit.services import record_query
from portal.accounts.access import reader_required
from portal.console.pages import page

if TYPE_CHECKING:
    from audit.http import PortalRequest
    from audit.models import Connection

CONFLICT: Final = 409
STEPS: Final = {
    "connection": "The connection, as the gateway told it",
    "key": "The key that was registered for the device",
    "enrolment": "The enrolment of the device",
    "sign_in": "The sign-in of its owner before that",
}


@require_safe
@reader_required
def receipt(request: PortalRequest, connection_id: int) -> HttpResponse:
    found = audit_selectors.get_connection(connection_id)
    made = connection_receipts.chain(found)
    _record(request, found)
    return page(
        request,
        "connection_receipt.html",
        title=f"Receipt of connection {found.pk}",
        connection=found,
        chain=made,
        is_sealing=connection_receipts.is_sealing(),
        steps=[(STEPS[place.step], place) for place in made.places],
        missing=[STEPS[name] for name in made.missing],
    )


@require_safe
@reader_required
def download_receipt(request: PortalRequest, connection_id: int) -> HttpResponse:
    found = audit_selectors.get_connection(connection_id)
    made = connection_receipts.chain(found)
    if not made.places or not made.is_sealed:
        return HttpResponse(
            "Not sealed yet: try again in a few seconds.",
            status=CONFLICT,
            content_type="text/plain; charset=utf-8",
        )
    _record(request, found, export_format="receipt")
    text = connection_receipts.connection_receipt(
        made, with_names=request.GET.get("names") == "1"
    )
    name = f"connection-{found.pk}.receipt.json"
    return HttpResponse(
        text,
        content_type="application/json",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{name}"',
        },
    )


def _record(
    request: PortalRequest, found: Connection, *, export_format: str = ""
) -> None:
    record_query(
        log=Log.CONNECTIONS,
        filters=Filter(person=found.person_id, device=found.device_id),
        actor=request.actor,
        now=request.received_at,
        export_format=export_format,
    )
