"""Pages of the control log: who changed what, and what was refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from django.views.decorators.http import require_safe

from audit import selectors as audit_selectors
from audit.events import AREAS, ENDINGS
from audit.exports import SHOWN_EVENT_COLUMNS, events_csv, events_jsonl
from audit.models import Log
from audit.search.filters import Filter, event_filter
from audit.services import record_query
from portal.accounts.access import reader_required
from portal.console import log
from portal.console.log_forms import EventFilterForm
from portal.console.log_lists import LogList, listed
from portal.console.pages import page

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpResponse
    from django.http.response import HttpResponseBase

    from audit.http import PortalRequest


LIST: Final = LogList(
    of=Log.CONTROL,
    title="Events",
    template="event_list.html",
    rows="events",
    form=EventFilterForm,
    parse=event_filter,
    is_timed=False,
    find=audit_selectors.list_events,
    count=audit_selectors.count_events,
    loosened=audit_selectors.loosened_events,
)


@require_safe
@reader_required
def events(request: PortalRequest) -> HttpResponse:
    return listed(request, LIST)


@require_safe
@reader_required
def event(request: PortalRequest, uid: UUID) -> HttpResponse:
    found = audit_selectors.get_event(uid)
    record_query(
        log=Log.CONTROL,
        filters=Filter(request=found.request_id, person=found.person_id),
        actor=request.actor,
        now=request.received_at,
    )
    return page(
        request,
        "event_detail.html",
        title=f"{found.code}{found.outcome} {found.sentence}",
        event=found,
        details=json.dumps(found.details, indent=2, sort_keys=True, ensure_ascii=False),
    )


@require_safe
@reader_required
def codes(request: PortalRequest) -> HttpResponse:
    areas = [
        (area, sorted(kinds, key=lambda kind: kind.code.value))
        for area, kinds in AREAS.items()
    ]
    return page(
        request,
        "event_codes.html",
        title="What events mean",
        areas=areas,
        endings=[(ending.value, words) for ending, words in ENDINGS.items()],
    )


@require_safe
@reader_required
def export(request: PortalRequest) -> HttpResponseBase:
    return log.download(
        request,
        event_filter,
        log=Log.CONTROL,
        formats={"csv": events_csv, "jsonl": events_jsonl},
        shown=SHOWN_EVENT_COLUMNS,
    )
