"""The page of what must stay and what may go: holds, prunes, who was forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.views.decorators.http import require_safe

from audit.models import LegalHold, Prune
from audit.retention.forgetting import people_forgotten
from portal.accounts.access import reader_required
from portal.console.pages import page

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest


@require_safe
@reader_required
def retention(request: PortalRequest) -> HttpResponse:
    return page(
        request,
        "retention.html",
        title="Holds and pruning",
        days=settings.PEERAGE_LOG_RETENTION_DAYS,
        holds=LegalHold.objects.all(),
        prunes=Prune.objects.all(),
        forgotten=people_forgotten(),
    )
