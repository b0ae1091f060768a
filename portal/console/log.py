"""What both pages of the log do: read the question, and record that it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ValidationError
from django.http import HttpResponseBadRequest, StreamingHttpResponse

from audit.errors import FilterError
from audit.exports import asynchronous
from audit.filters import Filter, parse_cursor
from audit.services import record_query
from portal.accounts.models import User
from portal.console.people import find_person

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.http.response import HttpResponseBase

    from audit.filters import Cursor
    from audit.http import PortalRequest
    from audit.models import Log
    from audit.selectors import Page
    from portal.console.forms import ConsoleForm

Query = Mapping[str, Sequence[str]]
Parser = Callable[[Query], Filter]
CONTENT_TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl; charset=utf-8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question to the log, and where in its answer to read."""

    filters: Filter
    cursor: Cursor | None


def question(request: PortalRequest, parse: Parser, *, timed: bool) -> Question:
    """Read the question in a query string.

    Raises:
        FilterError: with a message for each parameter that is wrong.
    """
    query = {name: list(values) for name, values in request.GET.lists()}
    messages: dict[str, str] = {}
    try:
        query["person"] = [_person_id(text) for text in query.get("person", [])]
    except ValidationError as exc:
        messages["person"] = str(exc.message)
        del query["person"]
    try:
        filters = parse(query)
    except FilterError as exc:
        raise FilterError({**messages, **exc.messages}) from exc
    if messages:
        raise FilterError(messages)
    return Question(
        filters=filters,
        cursor=parse_cursor(request.GET.get("cursor", ""), timed=timed),
    )


def explain(form: ConsoleForm, error: FilterError) -> None:
    """Put each message beside its field; one without a field above the form."""
    form.is_valid()
    for name, message in error.messages.items():
        if name in form.fields:
            form.add_error(name, message)
        else:
            form.add_error(None, f"{name}: {message}")


def links(request: PortalRequest, asked: Question, page: Page[Any]) -> dict[str, Any]:
    """Return the addresses of the next pages and of the exports."""
    asking = asked.filters.query_string()
    return {
        "query": asking,
        "newest_url": f"{request.path}?{asking}" if asked.cursor else "",
        "newer_url": _page_link(request, asking, page.newer),
        "older_url": _page_link(request, asking, page.older),
    }


def download(
    request: PortalRequest,
    parse: Parser,
    *,
    log: Log,
    formats: Mapping[str, Callable[[Filter], Iterator[str]]],
) -> HttpResponseBase:
    """Record that a copy is taken, then send it as it is read."""
    name = request.GET.get("format", "")
    if name not in formats:
        return _refused("The format is csv or jsonl.")
    try:
        asked = question(request, parse, timed=False)
    except FilterError as exc:
        return _refused(str(exc))
    record_query(
        log=log,
        filters=asked.filters,
        actor=request.actor,
        now=request.received_at,
        export_format=name,
    )
    stamp = f"{request.received_at:%Y%m%dT%H%M%SZ}"
    return StreamingHttpResponse(
        asynchronous(formats[name](asked.filters)),
        content_type=CONTENT_TYPES[name],
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{log.label}-{stamp}.{name}"',
        },
    )


def _person_id(text: str) -> str:
    meant = text.strip()
    return find_person(User.objects.all(), meant).ref.id if meant else ""


def _page_link(request: PortalRequest, asking: str, cursor: Cursor | None) -> str:
    if cursor is None:
        return ""
    return f"{request.path}?{asking}{'&' if asking else ''}cursor={cursor}"


def _refused(message: str) -> HttpResponse:
    return HttpResponseBadRequest(message, content_type="text/plain; charset=utf-8")
