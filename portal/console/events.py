"""Pages of the control log: who changed what, and what was refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from django.views.decorators.http import require_safe

from audit import selectors as audit_selectors
from audit.errors import FilterError
from audit.exports import SHOWN_EVENT_COLUMNS, events_csv, events_jsonl
from audit.filters import Filter, event_filter
from audit.models import Log
from audit.searches import LISTED, list_searches_for
from audit.services import record_query
from portal.accounts.access import person, reader_required
from portal.console import log
from portal.console.log_forms import EventFilterForm
from portal.console.pages import page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from django.http import HttpResponse
    from django.http.response import HttpResponseBase

    from audit.http import PortalRequest


@require_safe
@reader_required
def events(request: PortalRequest) -> HttpResponse:
    title = "Events"
    try:
        asked = log.question(request, event_filter, timed=False)
    except FilterError as exc:
        form = EventFilterForm(request.GET)
        log.explain(form, exc)
        return page(
            request,
            "event_list.html",
            title=title,
            form=form,
            status=400,
            periods=log.periods(request.path, None),
        )
    record_query(
        log=Log.CONTROL,
        filters=asked.filters,
        actor=request.actor,
        now=request.received_at,
    )
    found = audit_selectors.list_events(asked.filters, cursor=asked.cursor)
    counted = audit_selectors.count_events(asked.filters, found)
    loosening: Sequence[log.Chip] = ()
    if not found.items:
        names = audit_selectors.loosened_events(asked.filters)
        loosening = log.loosening(request.path, asked.filters, names)
    return page(
        request,
        "event_list.html",
        events=found.items,
        title=title,
        form=EventFilterForm(log.shown_query(request, asked)),
        periods=log.periods(request.path, asked.filters),
        loosening=loosening,
        log=Log.CONTROL.value,
        saved=list_searches_for(person(request).ref, Log.CONTROL)[:LISTED],
        **log.links(request, asked, found, counted),
    )


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
def export(request: PortalRequest) -> HttpResponseBase:
    return log.download(
        request,
        event_filter,
        log=Log.CONTROL,
        formats={"csv": events_csv, "jsonl": events_jsonl},
        shown=SHOWN_EVENT_COLUMNS,
    )
