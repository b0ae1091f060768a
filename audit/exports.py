"""The log as files: JSON Lines, the form for evidence, and CSV, the form for sheets.

Streams of text chunks, made a page at a time through the same selectors as the
screen, so that an export is exactly what the filter shows and of any length.

CSV is opened by programs that compute: a cell that begins like a formula gets an
apostrophe in front, every cell is quoted (RFC 4180). JSON Lines keep every value
as it is and are plain ASCII, whatever a name contains. Control characters are
visible escapes in both.

`response = StreamingHttpResponse(asynchronous(connections_csv(filters)))` is right
under ASGI, where a plain generator would first be read to its end.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asgiref.sync import sync_to_async

from audit.leaves import moment
from audit.models import SEAL_COLUMNS, AuditEvent, Connection
from audit.parts import parts
from audit.selectors import iterate_connections, iterate_events
from audit.text import visible

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from audit.search.filters import Filter

CHUNK_ROWS: Final = 500
Row = TypeVar("Row")
# CWE-1236, with the full-width twins that some spreadsheets take for the same.
FORMULA: Final = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)

CONNECTION_COLUMNS: Final = tuple(
    field.attname for field in Connection._meta.concrete_fields
)
EVENT_COLUMNS: Final = (
    *(
        field.attname
        for field in AuditEvent._meta.concrete_fields
        if field.attname not in SEAL_COLUMNS
    ),
    "sentence",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """Columns that the log does not hold, and how to find them for one connection."""

    columns: tuple[str, ...]
    values: Callable[[Connection], Mapping[str, object]]


NOTHING_DERIVED: Final = Derived(columns=(), values=lambda _: {})


SHOWN_CONNECTION_COLUMNS: Final = (
    *("id", "started_at", "person_label", "device_label", "application_label"),
    *("destination", "protocol", "destination_port", "verdict", "end_reason"),
    *("bytes_up", "bytes_down", "ended_at"),
)
"""What the page of the connections shows, in its order."""
SHOWN_EVENT_COLUMNS: Final = (
    *("uid", "at", "code", "outcome", "sentence", "reason", "actor_label"),
    *("actor_address", "request_id"),
)
"""What the page of the events shows, in its order."""


class Tally:
    """How many rows left, and the SHA-256 of the bytes they were."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.rows = 0
        self._digest = sha256()

    @property
    def sha256(self) -> str:
        """The digest of what left so far, in hexadecimal."""
        return self._digest.hexdigest()

    def counting(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Return the same rows, and count them."""
        for row in rows:
            self.rows += 1
            yield row

    def hashing(self, chunks: Iterable[str]) -> Iterator[str]:
        """Return the same chunks, and add them to the digest."""
        for chunk in chunks:
            self._digest.update(chunk.encode())
            yield chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which columns of an export leave, none for all of them, and who counts."""

    columns: tuple[str, ...] = ()
    tally: Tally = field(default_factory=Tally)


def connections_csv(
    filters: Filter, derived: Derived = NOTHING_DERIVED, *, cut: Cut | None = None
) -> Iterator[str]:
    """Return the connections that a filter finds, as CSV."""
    cut = cut or Cut()
    columns = cut.columns or (*CONNECTION_COLUMNS, *derived.columns)
    return _csv(columns, _connection_rows(filters, derived, cut))


def events_csv(filters: Filter, *, cut: Cut | None = None) -> Iterator[str]:
    """Return the events that a filter finds, as CSV."""
    cut = cut or Cut()
    return _csv(cut.columns or EVENT_COLUMNS, _event_rows(filters, cut))


def connections_jsonl(
    filters: Filter, derived: Derived = NOTHING_DERIVED, *, cut: Cut | None = None
) -> Iterator[str]:
    """Return the connections that a filter finds, as JSON Lines."""
    return _jsonl(_connection_rows(filters, derived, cut or Cut()))


def events_jsonl(filters: Filter, *, cut: Cut | None = None) -> Iterator[str]:
    """Return the events that a filter finds, as JSON Lines."""
    return _jsonl(_event_rows(filters, cut or Cut()))


async def asynchronous(chunks: Iterator[str]) -> AsyncIterator[str]:
    """Return the same chunks, each made in the thread that may use the database."""

    def advance() -> str | None:
        return next(chunks, None)

    while (chunk := await sync_to_async(advance)()) is not None:
        yield chunk


def cell(value: Any) -> str:  # noqa: ANN401 -- any column's value
    """Return a value as the text of a CSV cell that no program computes."""
    text = _text(value)
    # Some programs look past leading blanks.
    dangerous = isinstance(value, str) and value.lstrip().startswith(FORMULA)
    return f"'{text}" if dangerous or text.startswith(FORMULA) else text


def table_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows as CSV in which no program finds a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(value) for value in row])
    return buffer.getvalue().encode()


def connection_values(row: Connection) -> dict[str, object]:
    """Return a connection as values that JSON knows."""
    return _values(row, CONNECTION_COLUMNS)


def _connection_rows(
    filters: Filter, derived: Derived, cut: Cut
) -> Iterator[dict[str, object]]:
    for row in cut.tally.counting(iterate_connections(filters)):
        if cut.columns:
            yield _values(row, cut.columns)
        else:
            yield {**connection_values(row), **derived.values(row)}


def _event_rows(filters: Filter, cut: Cut) -> Iterator[dict[str, object]]:
    rows = cut.tally.counting(iterate_events(filters))
    return (_values(row, cut.columns or EVENT_COLUMNS) for row in rows)


def _values(row: object, columns: tuple[str, ...]) -> dict[str, object]:
    return {name: _plain(getattr(row, name)) for name in columns}


def _csv(
    columns: tuple[str, ...], rows: Iterable[Mapping[str, object]]
) -> Iterator[str]:
    lines = ([cell(row[name]) for name in columns] for row in rows)
    for part in parts(chain([list(columns)], lines), CHUNK_ROWS):
        buffer = io.StringIO()
        csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows(part)
        yield buffer.getvalue()


def _jsonl(rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    for part in parts(rows, CHUNK_ROWS):
        yield "".join(f"{_json(item)}\n" for item in part)


def _text(value: Any) -> str:  # noqa: ANN401 -- any column's value
    match _plain(value):
        case None:
            return ""
        case dict() as found:
            return _json(found)
        case list() as found:
            return " ".join(visible(str(item)) for item in found)
        case found:
            return visible(str(found))


def _plain(value: Any) -> Any:  # noqa: ANN401 -- any column's value
    """Return a value that JSON knows."""
    match value:
        case datetime():
            return moment(value)
        case None | bool() | int() | str() | dict() | list():
            return value
    return str(value)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
