"""Reading the log.

How a page uses it::

    filters = connection_filter(dict(request.GET.lists()))   # FilterError → form errors
    cursor = parse_cursor(request.GET.get("cursor", ""), timed=True)
    page = list_connections(filters, cursor=cursor)
    services.record_query(log=Log.CONNECTIONS, filters=filters, actor=…, now=…)

`page.items` are rows, newest first; `page.older` and `page.newer` are cursors for
links (`?{filters.query_string()}&cursor={page.older}`) or None. There is no last
page and no cap: a cursor names a row, so that page 10,000 costs what page 1 costs
and nothing is shown twice while new rows arrive. `parse_cursor(…, timed=False)` is
the control log's. Who may read is for the view to ask (`reader_required`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404

from audit.events import EventCode, Outcome
from audit.models import AuditEvent, Connection
from audit.search.filters import Cursor
from audit.search.finding import connection_ways, connections, event_ways, events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from collections.abc import Set as AbstractSet
    from uuid import UUID

    from audit.search.filters import Filter

PAGE_SIZE: Final = 50
EXPORT_PAGE_SIZE: Final = 1000
COUNTED: Final = 1000
"""How far a page counts: of ten million rows nobody wants to know the last digit."""

Row = TypeVar("Row", AuditEvent, Connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Some rows, newest first, and where to go on."""

    items: tuple[Row, ...]
    older: Cursor | None
    newer: Cursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many rows there are, or at least how many."""

    number: int
    is_all: bool


def list_connections(
    filters: Filter, *, cursor: Cursor | None = None, size: int = PAGE_SIZE
) -> Page[Connection]:
    """Return one page of the connections that a filter finds."""
    order = ("started_at", "id")
    return _page(connection_ways(filters), order, cursor, size)


def list_events(
    filters: Filter, *, cursor: Cursor | None = None, size: int = PAGE_SIZE
) -> Page[AuditEvent]:
    """Return one page of the control log's events that a filter finds."""
    return _page(event_ways(filters), ("id",), cursor, size)


def iterate_connections(filters: Filter) -> Iterator[Connection]:
    """Return all connections that a filter finds, newest first, a page at a time."""
    cursor: Cursor | None = None
    while True:
        page = list_connections(filters, cursor=cursor, size=EXPORT_PAGE_SIZE)
        yield from page.items
        if (cursor := page.older) is None:
            return


def iterate_events(filters: Filter) -> Iterator[AuditEvent]:
    """Return all events that a filter finds, newest first, a page at a time."""
    cursor: Cursor | None = None
    while True:
        page = list_events(filters, cursor=cursor, size=EXPORT_PAGE_SIZE)
        yield from page.items
        if (cursor := page.older) is None:
            return


def get_event(uid: UUID) -> AuditEvent:
    """Return one event, or answer 404."""
    return get_object_or_404(AuditEvent, uid=uid)


def latest_sign_in(person_id: str) -> dict[str, str]:
    """Return what ties an event to the last sign-in of a person: that event's uid."""
    found = AuditEvent.objects.filter(
        code=EventCode.USER_LOGIN, outcome=Outcome.DONE, person_id=person_id
    )
    uid = found.values_list("uid", flat=True).first()
    return {"sign_in": str(uid)} if uid else {}


def get_connection(number: int) -> Connection:
    """Return one connection, or answer 404."""
    return get_object_or_404(Connection, pk=number)


def enrolment_uids(devices: AbstractSet[str]) -> dict[str, str]:
    """Return the uid of the event by which each device was enrolled, by its id."""
    found = AuditEvent.objects.filter(
        code=EventCode.DEVICE_ENROLL_COMPLETE, device_id__in=sorted(devices - {""})
    ).values_list("device_id", "uid")
    return {device: str(uid) for device, uid in found.order_by("-id")}


def count_connections(filters: Filter, page: Page[Connection]) -> Counted:
    """Return how many connections a filter finds, as far as a page counts."""
    return _count(connections(filters), filters, page)


def count_events(filters: Filter, page: Page[AuditEvent]) -> Counted:
    """Return how many events a filter finds, as far as a page counts."""
    return _count(events(filters), filters, page)


def loosened_connections(filters: Filter) -> tuple[str, ...]:
    """Return the parameters without which the filter would find something."""
    return _loosened(filters, connections)


def loosened_events(filters: Filter) -> tuple[str, ...]:
    """Return the parameters without which the filter would find something."""
    return _loosened(filters, events)


def _loosened(
    filters: Filter, find: Callable[[Filter], QuerySet[Any]]
) -> tuple[str, ...]:
    return tuple(
        name
        for name in filters.parameters()
        if find(filters.without(name)).order_by()[:1].exists()
    )


def _count(rows: QuerySet[Any], filters: Filter, page: Page[Any]) -> Counted:
    shown = len(page.items)
    if page.older is None and page.newer is None:
        return Counted(number=shown, is_all=True)
    # Rows that say a word may lie far apart: counting them is reading them all.
    if filters.words:
        return Counted(number=shown, is_all=False)
    found = rows.order_by()[: COUNTED + 1].count()
    return Counted(number=min(found, COUNTED), is_all=found <= COUNTED)


def _page(
    ways: Iterable[QuerySet[Row]],
    order: tuple[str, ...],
    cursor: Cursor | None,
    size: int,
) -> Page[Row]:
    """Return a page; one row more than it shows tells whether there is another.

    A row that is found in several ways is shown once.
    """
    is_newer = cursor is not None and cursor.newer
    sign = "" if is_newer else "-"
    merged: dict[int, Row] = {}
    for rows in ways:
        ordered = _beyond(rows, order, cursor).order_by(*(sign + key for key in order))
        merged |= {row.pk: row for row in ordered[: size + 1]}
    found = sorted(
        merged.values(),
        key=lambda row: tuple(getattr(row, key) for key in order),
        reverse=not is_newer,
    )
    more = len(found) > size
    del found[size:]
    if is_newer:
        found.reverse()
        has_newer, has_older = more, True
    else:
        has_newer, has_older = cursor is not None, more
    return Page(
        items=tuple(found),
        older=_cursor(found[-1], newer=False) if found and has_older else None,
        newer=_cursor(found[0], newer=True) if found and has_newer else None,
    )


def _beyond(
    rows: QuerySet[Row], order: tuple[str, ...], cursor: Cursor | None
) -> QuerySet[Row]:
    """Return the rows on the other side of the cursor."""
    if cursor is None:
        return rows
    side = "gt" if cursor.newer else "lt"
    if cursor.at is None:
        return rows.filter(**{f"id__{side}": cursor.number})
    # The first condition is implied by the second; an index can use it.
    first = order[0]
    return rows.filter(**{f"{first}__{side}e": cursor.at}).filter(
        Q(**{f"{first}__{side}": cursor.at}) | Q(**{f"id__{side}": cursor.number})
    )


def _cursor(row: AuditEvent | Connection, *, newer: bool) -> Cursor:
    at = row.started_at if isinstance(row, Connection) else None
    return Cursor(newer=newer, number=row.pk, at=at)
