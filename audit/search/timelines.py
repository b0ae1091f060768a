"""A person, a device, a key, an application or a gateway over time.

The database counts, by hour or by day; a period is short enough for that. Buckets in
which nothing happened are there, too: a gap is what an investigator looks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDay, TruncHour

from audit.errors import FilterError
from audit.models import AuditEvent, Connection, Verdict
from audit.search.finding import connections
from audit.selectors import list_connections, list_events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audit.search.filters import Filter

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
BY_HOUR: Final = 3 * DAY
"""Up to which period hours are told apart."""
LONGEST: Final = 92 * DAY
USUAL: Final = 7 * DAY
MERGED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From a moment up to another, in whole buckets of one length."""

    since: datetime
    until: datetime
    bucket: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What began within one hour or day. Bytes are those of ended connections."""

    at: datetime
    until: datetime
    allowed: int = 0
    denied: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


def period(filters: Filter, now: datetime) -> Period:
    """Return the period of a filter; without one, the last seven days.

    Raises:
        FilterError: it is longer than anybody should count.
    """
    until = filters.until or (now if filters.since is None else filters.since + LONGEST)
    until = min(until, now)
    since = filters.since or until - USUAL
    if since >= until:
        raise FilterError({"from": "the period has not begun"})
    bucket = HOUR if until - since <= BY_HOUR else DAY
    found = Period(since=_floor(since, bucket), until=until, bucket=bucket)
    if found.until - found.since > LONGEST + DAY:
        raise FilterError({"from": f"at most {LONGEST.days} days at once"})
    return found


def buckets(filters: Filter, over: Period) -> tuple[Bucket, ...]:
    """Return what a filter finds, counted by hour or day, oldest first."""
    trunc = TruncHour if over.bucket == HOUR else TruncDay
    counted = (
        connections(filters)
        .filter(started_at__gte=over.since, started_at__lt=over.until)
        .order_by()
        .values(bucket=trunc("started_at", tzinfo=UTC))
        .annotate(
            allowed=Count("id", filter=Q(verdict=Verdict.ALLOWED)),
            denied=Count("id", filter=Q(verdict=Verdict.DENIED)),
            up=Sum("bytes_up", default=0),
            down=Sum("bytes_down", default=0),
        )
    )
    by_time: dict[datetime, dict[str, Any]] = {
        row["bucket"]: {**row} for row in counted
    }
    found, at = [], over.since
    while at < over.until:
        row = by_time.get(at, {})
        found.append(
            Bucket(
                at=at,
                until=at + over.bucket,
                allowed=row.get("allowed", 0),
                denied=row.get("denied", 0),
                bytes_up=row.get("up", 0),
                bytes_down=row.get("down", 0),
            )
        )
        at += over.bucket
    return tuple(found)


def merged(filters: Filter) -> Sequence[AuditEvent | Connection]:
    """Return the newest of both logs together, newest first."""
    rows: list[AuditEvent | Connection] = [
        *list_connections(filters, size=MERGED).items,
        *list_events(filters, size=MERGED).items,
    ]
    rows.sort(key=moment_of, reverse=True)
    return rows[:MERGED]


def moment_of(row: AuditEvent | Connection) -> datetime:
    """Return when an event was, or when a connection began."""
    return row.started_at if isinstance(row, Connection) else row.at


def _floor(at: datetime, bucket: timedelta) -> datetime:
    hour = at.hour if bucket == HOUR else 0
    return at.replace(hour=hour, minute=0, second=0, microsecond=0)
