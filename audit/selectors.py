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
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from django.db.models import Count, Max, Min, Q, QuerySet, Sum
from django.shortcuts import get_object_or_404

from audit.actor import Ref
from audit.filters import Cursor, Decision
from audit.models import AuditEvent, Connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from audit.filters import Filter

PAGE_SIZE: Final = 50
EXPORT_PAGE_SIZE: Final = 1000

Row = TypeVar("Row", AuditEvent, Connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Some rows, newest first, and where to go on."""

    items: tuple[Row, ...]
    older: Cursor | None
    newer: Cursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSummary:
    """What a filter finds, in numbers. Bytes are those of ended connections."""

    allowed: int
    denied: int
    live: int
    people: int
    applications: int
    bytes_up: int
    bytes_down: int
    first_at: datetime | None
    last_at: datetime | None


def list_connections(
    filters: Filter, *, cursor: Cursor | None = None, size: int = PAGE_SIZE
) -> Page[Connection]:
    """Return one page of the connections that a filter finds."""
    rows = _connections(filters)
    if cursor is None:
        return _page(rows.order_by("-started_at", "-id"), cursor, size)
    # The first condition is implied by the second; an index can use it.
    if cursor.newer:
        rows = rows.filter(started_at__gte=cursor.at).filter(
            Q(started_at__gt=cursor.at) | Q(id__gt=cursor.number)
        )
        return _page(rows.order_by("started_at", "id"), cursor, size)
    rows = rows.filter(started_at__lte=cursor.at).filter(
        Q(started_at__lt=cursor.at) | Q(id__lt=cursor.number)
    )
    return _page(rows.order_by("-started_at", "-id"), cursor, size)


def list_events(
    filters: Filter, *, cursor: Cursor | None = None, size: int = PAGE_SIZE
) -> Page[AuditEvent]:
    """Return one page of the control log's events that a filter finds."""
    rows = _events(filters)
    if cursor is None:
        return _page(rows.order_by("-id"), cursor, size)
    if cursor.newer:
        return _page(rows.filter(id__gt=cursor.number).order_by("id"), cursor, size)
    return _page(rows.filter(id__lt=cursor.number).order_by("-id"), cursor, size)


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


def get_connection(number: int) -> Connection:
    """Return one connection, or answer 404."""
    return get_object_or_404(Connection, pk=number)


def connection_summary(filters: Filter) -> ConnectionSummary:
    """Return what a filter finds, in numbers. Reads every row it finds."""
    allowed = Q(verdict=Decision.ALLOWED)
    found = _connections(filters).aggregate(
        allowed=Count("id", filter=allowed),
        denied=Count("id", filter=Q(verdict=Decision.DENIED)),
        live=Count("id", filter=allowed & Q(ended_at=None)),
        people=Count("person_id", filter=~Q(person_id=""), distinct=True),
        applications=Count(
            "application_id", filter=~Q(application_id=""), distinct=True
        ),
        bytes_up=Sum("bytes_up", default=0),
        bytes_down=Sum("bytes_down", default=0),
        first_at=Min("started_at"),
        last_at=Max("started_at"),
    )
    return ConnectionSummary(**found)


def person_choices() -> list[Ref]:
    """Return everybody the log knows, by their latest name; also those long gone."""
    return _choices("person")


def device_choices() -> list[Ref]:
    """Return every device the log knows, by its latest name."""
    return _choices("device")


def application_choices() -> list[Ref]:
    """Return every application the log knows, by its latest name."""
    return _choices("application")


def gateway_choices() -> list[Ref]:
    """Return every gateway the log knows, by its latest name."""
    return _choices("gateway")


def _choices(party: str) -> list[Ref]:
    # The control log knows them all, because each began with an event there; it is
    # small where the connections are many.
    latest = (
        AuditEvent.objects.exclude(**{f"{party}_id": ""})
        .order_by()
        .values(f"{party}_id")
        .annotate(latest=Max("id"))
        .values("latest")
    )
    rows = AuditEvent.objects.filter(id__in=latest).values_list(
        f"{party}_id", f"{party}_label"
    )
    refs = [Ref(id=number, label=label or number) for number, label in rows]
    return sorted(refs, key=lambda ref: (ref.label.casefold(), ref.id))


def _connections(filters: Filter) -> QuerySet[Connection]:
    rows = Connection.objects.all()
    for name, value in (
        ("person_id", filters.person),
        ("device_id", filters.device),
        ("key_fingerprint", filters.key),
        ("application_id", filters.application),
        ("gateway_id", filters.gateway),
        ("verdict", filters.verdict),
        ("started_at__gte", filters.since),
        ("started_at__lt", filters.until),
    ):
        if value:
            rows = rows.filter(**{name: value})
    if filters.address:
        rows = rows.filter(Q(source=filters.address) | Q(destination=filters.address))
    if filters.port:
        rows = rows.filter(
            Q(source_port=filters.port) | Q(destination_port=filters.port)
        )
    return rows


def _events(filters: Filter) -> QuerySet[AuditEvent]:
    rows = AuditEvent.objects.all()
    for name, value in (
        ("device_id", filters.device),
        ("details__fingerprint", filters.key),
        ("application_id", filters.application),
        ("gateway_id", filters.gateway),
        ("actor_address", filters.address),
        ("code", filters.code),
        ("outcome", filters.outcome),
        ("request_id", filters.request),
        ("at__gte", filters.since),
        ("at__lt", filters.until),
    ):
        if value:
            rows = rows.filter(**{name: value})
    if filters.person:
        rows = rows.filter(Q(person_id=filters.person) | Q(actor_id=filters.person))
    return rows


def _page(rows: QuerySet[Row], cursor: Cursor | None, size: int) -> Page[Row]:
    """Return a page; one row more than it shows tells whether there is another."""
    found = list(rows[: size + 1])
    more = len(found) > size
    del found[size:]
    if cursor is not None and cursor.newer:
        found.reverse()
        has_newer, has_older = more, True
    else:
        has_newer, has_older = cursor is not None, more
    return Page(
        items=tuple(found),
        older=_cursor(found[-1], newer=False) if found and has_older else None,
        newer=_cursor(found[0], newer=True) if found and has_newer else None,
    )


def _cursor(row: AuditEvent | Connection, *, newer: bool) -> Cursor:
    at = row.started_at if isinstance(row, Connection) else None
    return Cursor(newer=newer, number=row.pk, at=at)
