"""Reading streams and how they fare. Who may read is for the view to ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404

from audit.models import Log
from audit.streams import source
from audit.streams.models import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far a stream is behind in one log.

    `behind` is the distance in places: entries not gone past yet, also those that its
    filter will leave out, and a few places that were never filled. `since` is when the
    oldest of them happened.
    """

    log: Log
    behind: int
    since: datetime | None
    delivered: int

    def age(self, now: datetime) -> timedelta | None:
        """Return how old the oldest entry is that it has not gone past."""
        return None if self.since is None else now - self.since


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """A stream and how far it is behind, worst first."""

    stream: Stream
    lags: tuple[Lag, ...]

    @property
    def behind(self) -> int:
        """Return how many entries of all its logs it has not gone past."""
        return sum(lag.behind for lag in self.lags)

    @property
    def is_failing(self) -> bool:
        """Return whether the receiver did not take the last batch."""
        return self.stream.enabled and self.stream.failures > 0


def list_streams() -> QuerySet[Stream]:
    """Return all streams with their cursors, by name."""
    return Stream.objects.prefetch_related("cursors")


def get_stream(number: int) -> Stream:
    """Return one stream, or answer 404."""
    return get_object_or_404(list_streams(), pk=number)


def statuses(streams: Iterable[Stream]) -> list[StreamStatus]:
    """Return how streams fare; the ends of both logs are read once."""
    heads = {log: source.head(log) for log in Log}
    return [_status(stream, heads, dated=False) for stream in streams]


def status(stream: Stream) -> StreamStatus:
    """Return how one stream fares, with the age of what it has not gone past."""
    return _status(stream, {log: source.head(log) for log in Log}, dated=True)


def _status(stream: Stream, heads: Mapping[Log, int], *, dated: bool) -> StreamStatus:
    lags = []
    for cursor in stream.cursors.all():
        log = Log(cursor.log)
        behind = max(heads[log] - cursor.position, 0)
        lags.append(
            Lag(
                log=log,
                behind=behind,
                since=(
                    source.moment_at(log, cursor.position) if dated and behind else None
                ),
                delivered=cursor.delivered,
            )
        )
    return StreamStatus(stream=stream, lags=tuple(lags))
