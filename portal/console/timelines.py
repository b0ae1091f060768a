"""Timelines: a person, device, key, application or gateway, and all that happened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.http import Http404
from django.urls import reverse
from django.views.decorators.http import require_safe

from audit.errors import FilterError
from audit.models import Connection, Log
from audit.search.filters import connection_filter, parse_cursor, with_period
from audit.search.timelines import buckets, merged, moment_of, period
from audit.selectors import list_connections
from audit.services import record_query
from portal.accounts.access import person as visitor
from portal.accounts.access import reader_required, signed_in
from portal.console import log
from portal.console.charts import Chart, Column, stacked
from portal.console.log_forms import PeriodForm
from portal.console.pages import page
from portal.console.templatetags.console import size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpResponse

    from audit.http import PortalRequest
    from audit.models import AuditEvent
    from audit.search.filters import Cursor, Filter
    from audit.search.timelines import Bucket, Period

KINDS: Final = ("person", "device", "key", "application", "gateway")
MINE: Final = "My activity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the merged list."""

    event: AuditEvent | None
    connection: Connection | None


@require_safe
@reader_required
def timeline(request: PortalRequest, about: str, ref: str) -> HttpResponse:
    if about not in KINDS:
        raise Http404
    try:
        everything = connection_filter({about: [ref]})
    except FilterError as exc:
        raise Http404 from exc
    title = f"{about.capitalize()} {ref}"
    try:
        asked = {name: request.GET.getlist(name) for name in request.GET}
        filters = connection_filter(
            with_period({**asked, about: [ref]}, request.received_at)
        )
        over = period(filters, request.received_at)
    except FilterError as exc:
        form = PeriodForm(request.GET)
        log.explain(form, exc)
        return page(
            request,
            "timeline.html",
            title=title,
            form=form,
            status=400,
            periods=log.periods(request.path, None),
        )
    return _told(
        request, about, ref, replace(everything, since=over.since, until=over.until)
    )


@require_safe
@signed_in
def activity(request: PortalRequest) -> HttpResponse:
    me = visitor(request).ref.id
    query = {name: request.GET.getlist(name) for name in ("from", "until", "last")}
    periods = log.periods(request.path, None)
    try:
        filters = connection_filter(
            with_period({**query, "person": [me]}, request.received_at)
        )
        over = period(filters, request.received_at)
        cursor = parse_cursor(request.GET.get("cursor", ""), timed=True)
    except FilterError as exc:
        form = PeriodForm(request.GET)
        log.explain(form, exc)
        return page(
            request,
            "activity.html",
            title=MINE,
            form=form,
            status=400,
            periods=periods,
        )
    filters = replace(filters, since=over.since, until=over.until)
    record_query(
        log=Log.CONNECTIONS,
        filters=filters,
        actor=request.actor,
        now=request.received_at,
    )
    found = list_connections(filters, cursor=cursor)
    return page(
        request,
        "activity.html",
        title=MINE,
        form=_period_form(over),
        periods=periods,
        over=over,
        charts=charts(buckets(filters, over), over),
        connections=found.items,
        older_url=_older(request.path, over, found.older),
    )


def _older(path: str, over: Period, cursor: Cursor | None) -> str:
    if cursor is None:
        return ""
    asked = {"from": over.since.isoformat(), "until": over.until.isoformat()}
    return f"{path}?{urlencode({**asked, 'cursor': str(cursor)})}"


def _period_form(over: Period) -> PeriodForm:
    return PeriodForm(
        {
            "from": f"{over.since:%Y-%m-%dT%H:%M:%S}",
            "until": f"{over.until:%Y-%m-%dT%H:%M:%S}",
        }
    )


def _told(request: PortalRequest, kind: str, ref: str, filters: Filter) -> HttpResponse:
    for name in Log:
        record_query(
            log=name, filters=filters, actor=request.actor, now=request.received_at
        )
    over = period(filters, request.received_at)
    counted = buckets(filters, over)
    rows = merged(filters)
    called = _label(rows, kind, ref)
    title = f"{called} ({kind} {ref})" if called else f"{kind.capitalize()} {ref}"
    query = filters.query_string()
    return page(
        request,
        "timeline.html",
        title=title,
        form=_period_form(over),
        periods=log.periods(request.path, None),
        over=over,
        charts=charts(counted, over),
        table=[
            (bucket, _bucket_link(filters, bucket))
            for bucket in reversed(counted)
            if bucket.allowed or bucket.denied
        ],
        lines=[_line(row) for row in rows],
        connections_url=f"{reverse('console:connections')}?{query}",
        events_url=f"{reverse('console:events')}?{query}",
        number=ref.partition("_")[2] if kind != "key" else "",
        kind=kind,
    )


def charts(counted: Sequence[Bucket], over: Period) -> tuple[Chart, ...]:
    """Return connections, denials and bytes over time."""
    form = "%Y-%m-%d %H:%M" if over.bucket.days == 0 else "%Y-%m-%d"

    def columns(*parts: tuple[str, str]) -> list[Column]:
        return [
            Column(
                parts=tuple((tone, getattr(bucket, name)) for name, tone in parts),
                label=f"{bucket.at:{form}}: {bucket.allowed} allowed,"
                f" {bucket.denied} denied, {size(bucket.bytes_up)} up,"
                f" {size(bucket.bytes_down)} down",
            )
            for bucket in counted
        ]

    allowed = columns(("allowed", "chart-allowed"))
    denied = columns(("denied", "chart-denied"))
    moved = columns(("bytes_up", "chart-up"), ("bytes_down", "chart-down"))
    return (
        stacked("Connections", f"{_top(allowed)}", allowed),
        stacked("Denials", f"{_top(denied)}", denied),
        stacked("Bytes, up below down", size(_top(moved)), moved),
    )


def _top(columns: Sequence[Column]) -> int:
    return max((column.total for column in columns), default=0)


def _bucket_link(filters: Filter, bucket: Bucket) -> str:
    asked = replace(filters, since=bucket.at, until=bucket.until)
    return f"{reverse('console:connections')}?{asked.query_string()}"


def _line(row: AuditEvent | Connection) -> Line:
    if isinstance(row, Connection):
        return Line(event=None, connection=row)
    return Line(event=row, connection=None)


def _label(rows: Sequence[Any], kind: str, ref: str) -> str:
    """Return what it was called last."""
    for row in sorted(rows, key=moment_of, reverse=True):
        if getattr(row, f"{kind}_id", "") == ref:
            return str(getattr(row, f"{kind}_label"))
    return ""
