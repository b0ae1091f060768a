"""What both pages of the log do: read the question, and record that it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.http import HttpResponseBadRequest, StreamingHttpResponse

from audit.errors import FilterError
from audit.events import CATALOGUE, EventCode, Outcome
from audit.exports import Cut, asynchronous
from audit.search.filters import PERIODS, Filter, parse_cursor, with_period
from audit.services import record_export_end, record_query
from portal.accounts.models import User
from portal.console.people import find_person

if TYPE_CHECKING:
    from django.http import HttpResponse, QueryDict
    from django.http.response import HttpResponseBase

    from audit.actor import Actor
    from audit.http import PortalRequest
    from audit.models import AuditEvent, Log
    from audit.search.filters import Cursor
    from audit.selectors import Counted, Page
    from portal.console.forms import ConsoleForm

Query = Mapping[str, Sequence[str]]
Parser = Callable[[Query], Filter]
CONTENT_TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl; charset=utf-8",
}


NAMES: Final = {"q": "search", "key": "key fingerprint", "request": "request id"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A filter that is asked, in words, and the page without it."""

    parameter: str
    name: str
    text: str
    href: str


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
    query: dict[str, Sequence[str]] = dict(request.GET.lists())
    messages: dict[str, str] = {}
    try:
        query = with_period(query, request.received_at)
    except FilterError as exc:
        messages |= exc.messages
        del query["last"]
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


def shown_query(request: PortalRequest, asked: Question) -> QueryDict:
    """Return what the form shows: what was typed, and times as its fields take them."""
    shown = request.GET.copy()
    for name, at in (("from", asked.filters.since), ("until", asked.filters.until)):
        if at is not None:
            shown[name] = f"{at:%Y-%m-%dT%H:%M:%S}"
    return shown


def links(
    request: PortalRequest, asked: Question, page: Page[Any], counted: Counted
) -> dict[str, Any]:
    """Return how much was found, what was asked, and where to go on."""
    asking = asked.filters.query_string()
    return {
        "query": asking,
        "counted": counted,
        "chips": chips(request.path, asked.filters, page.items),
        "newest_url": f"{request.path}?{asking}" if asked.cursor else "",
        "newer_url": _page_link(request, asking, page.newer),
        "older_url": _page_link(request, asking, page.older),
    }


def chips(path: str, filters: Filter, rows: Sequence[Any]) -> tuple[Chip, ...]:
    """Return each filter that is asked, and the address without it.

    A row that was found knows what the ids are called.
    """
    return tuple(
        Chip(
            parameter=name,
            name=NAMES.get(name, name).capitalize(),
            text=_chip_text(name, text, filters, rows),
            href=f"{path}?{filters.without(name).query_string()}",
        )
        for name, text in filters.parameters().items()
    )


def loosening(
    path: str, filters: Filter, parameters: Sequence[str]
) -> tuple[Chip, ...]:
    """Return the filters without which something would be found."""
    return tuple(
        chip for chip in chips(path, filters, ()) if chip.parameter in parameters
    )


def periods(path: str, filters: Filter | None) -> tuple[tuple[str, str], ...]:
    """Return the quick choices of a period, each with its address."""
    rest = {} if filters is None else filters.parameters()
    kept = {name: text for name, text in rest.items() if name not in {"from", "until"}}
    return tuple(
        (name, f"{path}?{urlencode({**kept, 'last': name})}") for name in PERIODS
    )


def download(
    request: PortalRequest,
    parse: Parser,
    *,
    log: Log,
    formats: Mapping[str, Callable[..., Iterator[str]]],
    shown: Sequence[str],
) -> HttpResponseBase:
    """Record that a copy is taken, send it as it is read, and record that it ended.

    `columns=shown` leaves what the page shows, in its order.
    """
    name = request.GET.get("format", "")
    if name not in formats:
        return _refused("The format is csv or jsonl.")
    try:
        asked = question(request, parse, timed=False)
    except FilterError as exc:
        return _refused(str(exc))
    chosen = request.GET.get("columns", "all")
    if chosen not in {"all", "shown"}:
        return _refused("The columns are all or shown.")
    cut = Cut(columns=tuple(shown) if chosen == "shown" else ())
    begun = record_query(
        log=log,
        filters=asked.filters,
        actor=request.actor,
        now=request.received_at,
        export_format=name,
        columns=cut.columns,
    )
    chunks = _ended(formats[name](asked.filters, cut=cut), cut, begun, request.actor)
    stamp = f"{request.received_at:%Y%m%dT%H%M%SZ}"
    return StreamingHttpResponse(
        asynchronous(chunks),
        content_type=CONTENT_TYPES[name],
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{log.label}-{stamp}.{name}"',
        },
    )


def _ended(
    chunks: Iterator[str], cut: Cut, begun: AuditEvent, actor: Actor
) -> Iterator[str]:
    yield from cut.tally.hashing(chunks)
    record_export_end(
        export=begun,
        rows=cut.tally.rows,
        sha256=cut.tally.sha256,
        actor=actor,
        now=datetime.now(UTC),  # noqa: TID251 -- an edge: when the last byte left
    )


def _person_id(text: str) -> str:
    meant = text.strip()
    return find_person(User.objects.all(), meant).ref.id if meant else ""


def _chip_text(name: str, text: str, filters: Filter, rows: Sequence[Any]) -> str:
    if name in {"from", "until"}:
        at = filters.since if name == "from" else filters.until
        return f"{at:%Y-%m-%d %H:%M} UTC"
    if name == "code":
        return f"{text} {CATALOGUE[EventCode(text)].name}"
    if name == "outcome":
        return Outcome(text).name.lower()
    for row in rows[:1]:
        if getattr(row, f"{name}_id", "") == text:
            return getattr(row, f"{name}_label", "") or text
    return text


def _page_link(request: PortalRequest, asking: str, cursor: Cursor | None) -> str:
    if cursor is None:
        return ""
    return f"{request.path}?{asking}{'&' if asking else ''}cursor={cursor}"


def _refused(message: str) -> HttpResponse:
    return HttpResponseBadRequest(message, content_type="text/plain; charset=utf-8")
