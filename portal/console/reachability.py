"""Pages of who can reach what, then and now, and of what changed; also as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from audit.exports import cell
from policies.reachability import (
    ChangeRow,
    Changes,
    Reach,
    ReachRow,
    what_changed,
    what_reaches,
    who_reaches,
)
from policies.services.inquiries import record_inquiry
from portal.accounts.access import reader_required
from portal.console.pages import PAGE_SIZE, page
from portal.console.questions import ChangesForm, MomentForm, WhatForm, WhoForm

if TYPE_CHECKING:
    from audit.http import PortalRequest

Row = TypeVar("Row", ReachRow, ChangeRow)
CSV: str = "csv"


@require_safe
@reader_required
def who(request: PortalRequest) -> HttpResponse:
    form = WhoForm(request.GET or None, now=request.received_at)
    if not request.GET or not form.is_valid():
        return _asking(request, form, "reach_who.html", "Who can reach it")
    data = form.cleaned_data
    _record(request, "who", {"at": data["at"]}, application=data["application"].ref)
    found = who_reaches(data["application"], data["at"], now=request.received_at)
    return _told(request, form, "reach_who.html", "Who can reach it", found)


@require_safe
@reader_required
def what(request: PortalRequest) -> HttpResponse:
    form = WhatForm(request.GET or None, now=request.received_at)
    if not request.GET or not form.is_valid():
        return _asking(request, form, "reach_what.html", "What they can reach")
    data = form.cleaned_data
    _record(request, "what", {"at": data["at"]}, person=data["person"].ref)
    found = what_reaches(data["person"], data["at"], now=request.received_at)
    return _told(request, form, "reach_what.html", "What they can reach", found)


@require_safe
@reader_required
def changes(request: PortalRequest) -> HttpResponse:
    form = ChangesForm(request.GET or None, now=request.received_at)
    if not request.GET or not form.is_valid():
        return _asking(request, form, "reach_changes.html", "What changed")
    since, until = form.cleaned_data["since"], form.cleaned_data["until"]
    _record(request, "changes", {"since": since, "until": until})
    found = what_changed(since, until)
    return _told(request, form, "reach_changes.html", "What changed", found)


def searched(rows: Iterable[Row], words: str) -> Sequence[Row]:
    """Return the rows in which every word occurs somewhere."""
    wanted = words.casefold().split()
    return [row for row in rows if all(word in _text(row) for word in wanted)]


def csv_text(kind: type[Row], rows: Iterable[Row]) -> str:
    """Return rows as CSV in which no program finds a formula."""
    columns = [field.name for field in fields(kind)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(_plain(getattr(row, name))) for name in columns])
    return buffer.getvalue()


def _record(
    request: PortalRequest,
    question: str,
    moments: dict[str, Any],
    **about: Any,  # noqa: ANN401 -- the service's own arguments
) -> None:
    record_inquiry(
        question=question,
        details={name: f"{at:%FT%TZ}" for name, at in moments.items()},
        actor=request.actor,
        now=request.received_at,
        export_format=CSV if request.GET.get("format") == CSV else "",
        **about,
    )


def _asking(
    request: PortalRequest, form: MomentForm, template: str, title: str
) -> HttpResponse:
    status = 400 if form.errors else 200
    return page(request, template, title=title, form=form, status=status)


def _told(
    request: PortalRequest,
    form: MomentForm,
    template: str,
    title: str,
    found: Reach | Changes,
) -> HttpResponse:
    words = form.cleaned_data["q"]
    rows: Sequence[ReachRow] | Sequence[ChangeRow]
    text: Callable[[], str]
    if isinstance(found, Reach):
        reached = rows = searched(found.rows, words)
        text = lambda: csv_text(ReachRow, reached)  # noqa: E731 -- only one is made
    else:
        changed = rows = searched(found.rows, words)
        text = lambda: csv_text(ChangeRow, changed)  # noqa: E731 -- the same
    if request.GET.get("format") == CSV:
        return _download(request, text())
    query = request.GET.copy()
    query.pop("page", None)
    query["format"] = CSV
    return page(
        request,
        template,
        title=title,
        form=form,
        answered=True,
        pages=Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page")),
        count=len(rows),
        notes=found.notes,
        sources=found.sources,
        csv_query=query.urlencode(),
    )


def _download(request: PortalRequest, text: str) -> HttpResponse:
    stamp = f"{request.received_at:%Y%m%dT%H%M%SZ}"
    return HttpResponse(
        text,
        content_type="text/csv; charset=utf-8",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="reach-{stamp}.csv"',
        },
    )


def _text(row: ReachRow | ChangeRow) -> str:
    return " ".join(
        str(_plain(getattr(row, field.name))) for field in fields(row)
    ).casefold()


def _plain(value: object) -> object:
    return "; ".join(value) if isinstance(value, tuple) else value
