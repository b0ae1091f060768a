"""Pages of the connections log: who reached what, through which gateway, and when."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from django.views.decorators.http import require_safe

from audit import selectors as audit_selectors
from audit.exports import SHOWN_CONNECTION_COLUMNS, connections_csv, connections_jsonl
from audit.models import Log
from audit.search.filters import Filter, connection_filter
from audit.services import record_query
from policies.allowing import AllowingReader, derived_columns, grants_of
from portal.accounts.access import reader_required
from portal.console import log
from portal.console.holders import link_time
from portal.console.log_forms import ConnectionFilterForm
from portal.console.log_lists import LogList, listed
from portal.console.pages import page

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.http.response import HttpResponseBase

    from audit.http import PortalRequest


LIST: Final = LogList(
    of=Log.CONNECTIONS,
    title="Connections",
    template="connection_list.html",
    rows="connections",
    form=ConnectionFilterForm,
    parse=connection_filter,
    is_timed=True,
    find=audit_selectors.list_connections,
    count=audit_selectors.count_connections,
    loosened=audit_selectors.loosened_connections,
)


@require_safe
@reader_required
def connections(request: PortalRequest) -> HttpResponse:
    return listed(request, LIST)


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
