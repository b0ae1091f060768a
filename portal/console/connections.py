"""Pages of the connections log: who reached what, through which gateway, and when."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.views.decorators.http import require_safe

from audit import selectors as audit_selectors
from audit.errors import FilterError
from audit.exports import SHOWN_CONNECTION_COLUMNS, connections_csv, connections_jsonl
from audit.filters import Filter, connection_filter
from audit.models import Log
from audit.searches import LISTED, list_searches_for
from audit.services import record_query
from policies.allowing import AllowingReader, derived_columns, grants_of
from portal.accounts.access import person, reader_required
from portal.console import log
from portal.console.holders import link_time
from portal.console.log_forms import ConnectionFilterForm
from portal.console.pages import page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpResponse
    from django.http.response import HttpResponseBase

    from audit.http import PortalRequest


@require_safe
@reader_required
def connections(request: PortalRequest) -> HttpResponse:
    title = "Connections"
    try:
        asked = log.question(request, connection_filter, timed=True)
    except FilterError as exc:
        form = ConnectionFilterForm(request.GET)
        log.explain(form, exc)
        return page(
            request,
            "connection_list.html",
            title=title,
            form=form,
            status=400,
            periods=log.periods(request.path, None),
        )
    record_query(
        log=Log.CONNECTIONS,
        filters=asked.filters,
        actor=request.actor,
        now=request.received_at,
    )
    found = audit_selectors.list_connections(asked.filters, cursor=asked.cursor)
    counted = audit_selectors.count_connections(asked.filters, found)
    loosening: Sequence[log.Chip] = ()
    if not found.items:
        names = audit_selectors.loosened_connections(asked.filters)
        loosening = log.loosening(request.path, asked.filters, names)
    return page(
        request,
        "connection_list.html",
        connections=found.items,
        title=title,
        form=ConnectionFilterForm(log.shown_query(request, asked)),
        periods=log.periods(request.path, asked.filters),
        loosening=loosening,
        log=Log.CONNECTIONS.value,
        saved=list_searches_for(person(request).ref, Log.CONNECTIONS)[:LISTED],
        **log.links(request, asked, found, counted),
    )


@require_safe
@reader_required
def connection(request: PortalRequest, connection_id: int) -> HttpResponse:
    found = audit_selectors.get_connection(connection_id)
    record_query(
        log=Log.CONNECTIONS,
        filters=Filter(person=found.person_id, device=found.device_id),
        actor=request.actor,
        now=request.received_at,
    )
    title = f"Connection {found.pk}"
    return page(
        request,
        "connection_detail.html",
        title=title,
        connection=found,
        held_at=link_time(found.started_at),
        allowing=grants_of(found, AllowingReader()),
    )


@require_safe
@reader_required
def export(request: PortalRequest) -> HttpResponseBase:
    derived = derived_columns(AllowingReader())
    return log.download(
        request,
        connection_filter,
        log=Log.CONNECTIONS,
        formats={
            "csv": partial(connections_csv, derived=derived),
            "jsonl": partial(connections_jsonl, derived=derived),
        },
        shown=SHOWN_CONNECTION_COLUMNS,
    )
