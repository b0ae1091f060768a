"""The list of a log: the same page for both, of what each log is asked and shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audit.errors import FilterError
from audit.search.saved import LISTED, list_searches_for
from audit.services import record_query
from portal.accounts.access import person
from portal.console import log
from portal.console.pages import page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http import HttpResponse

    from audit.http import PortalRequest
    from audit.models import Log
    from audit.search.filters import Filter
    from audit.selectors import Counted, Page
    from portal.console.forms import ConsoleForm


@dataclass(frozen=True, slots=True, kw_only=True)
class LogList:
    """What one log's list does its own way; the functions are `audit.selectors`'.

    `rows` is what the template calls the rows; `is_timed` says whether their order is
    that of time, which a cursor then names.
    """

    of: Log
    title: str
    template: str
    rows: str
    form: type[ConsoleForm]
    parse: log.Parser
    is_timed: bool
    find: Callable[..., Page[Any]]
    count: Callable[[Filter, Page[Any]], Counted]
    loosened: Callable[[Filter], Sequence[str]]


def listed(request: PortalRequest, kind: LogList) -> HttpResponse:
    """Answer with a page of a log, and record that it was asked.

    A question that cannot be read is shown again with what is wrong, status 400.
    """
    try:
        asked = log.question(request, kind.parse, timed=kind.is_timed)
    except FilterError as exc:
        form = kind.form(request.GET)
        log.explain(form, exc)
        return page(
            request,
            kind.template,
            title=kind.title,
            form=form,
            status=400,
            periods=log.periods(request.path, None),
        )
    record_query(
        log=kind.of,
        filters=asked.filters,
        actor=request.actor,
        now=request.received_at,
    )
    found = kind.find(asked.filters, cursor=asked.cursor)
    loosening: Sequence[log.Chip] = ()
    if not found.items:
        names = kind.loosened(asked.filters)
        loosening = log.loosening(request.path, asked.filters, names)
    rows: dict[str, Any] = {kind.rows: found.items}
    return page(
        request,
        kind.template,
        title=kind.title,
        form=kind.form(log.shown_query(request, asked)),
        periods=log.periods(request.path, asked.filters),
        loosening=loosening,
        log=kind.of.value,
        saved=list_searches_for(person(request).ref, kind.of)[:LISTED],
        **rows,
        **log.links(request, asked, found, kind.count(asked.filters, found)),
    )
