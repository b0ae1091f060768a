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
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async

from audit.leaves import moment
from audit.models import AuditEvent, Connection
from audit.selectors import iterate_connections, iterate_events
from audit.text import visible

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from audit.filters import Filter

CHUNK_ROWS: Final = 500
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
    *(field.attname for field in AuditEvent._meta.concrete_fields),
    "sentence",
)


def connections_csv(filters: Filter) -> Iterator[str]:
    """Return the connections that a filter finds, as CSV."""
    return _csv(CONNECTION_COLUMNS, iterate_connections(filters))


def events_csv(filters: Filter) -> Iterator[str]:
    """Return the events that a filter finds, as CSV."""
    return _csv(EVENT_COLUMNS, iterate_events(filters))


def connections_jsonl(filters: Filter) -> Iterator[str]:
    """Return the connections that a filter finds, as JSON Lines."""
    return _jsonl(CONNECTION_COLUMNS, iterate_connections(filters))


def events_jsonl(filters: Filter) -> Iterator[str]:
    """Return the events that a filter finds, as JSON Lines."""
    return _jsonl(EVENT_COLUMNS, iterate_events(filters))


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


def _csv(columns: tuple[str, ...], rows: Iterable[object]) -> Iterator[str]:
    lines = ([cell(getattr(row, name)) for name in columns] for row in rows)
    for part in _parts(chain([list(columns)], lines)):
        buffer = io.StringIO()
        csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows(part)
        yield buffer.getvalue()


def _jsonl(columns: tuple[str, ...], rows: Iterable[object]) -> Iterator[str]:
    objects = ({name: _plain(getattr(row, name)) for name in columns} for row in rows)
    for part in _parts(objects):
        yield "".join(f"{_json(item)}\n" for item in part)


def _parts(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(rows)
    while part := list(islice(rest, CHUNK_ROWS)):
        yield part


def _text(value: Any) -> str:  # noqa: ANN401 -- any column's value
    match _plain(value):
        case None:
            return ""
        case dict() as found:
            return _json(found)
        case found:
            return visible(str(found))


def _plain(value: Any) -> Any:  # noqa: ANN401 -- any column's value
    """Return a value that JSON knows."""
    match value:
        case datetime():
            return moment(value)
        case None | bool() | int() | str() | dict():
            return value
    return str(value)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
