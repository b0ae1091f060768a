"""What the agent says, as events: one a line, a name and facts, in JSON or for eyes.

* An event has a name, `noun.past_verb` or `noun.state`, that is never renamed once
  released; facts are fields with ids and numbers (docs/operations.md lists them).
* A line is one line: control characters and everything beyond ASCII are escaped.
* No secret is a field. A value that cannot be written as JSON is written as text.
* Libraries' own messages come as the event `message`.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TextIO

PLAIN: Final = re.compile(r"[A-Za-z0-9_.:/+-]+\Z")


class LogFormat(StrEnum):
    """How lines are written."""

    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Event:
    """What a log record carries as its message."""

    name: str
    fields: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return name and facts as words."""
        words = (f"{name}={_word(value)}" for name, value in self.fields.items())
        return " ".join((self.name, *words))


class Log:
    """Events of one module, by way of the standard library's logging."""

    def __init__(self, name: str) -> None:
        """Say things in the name of a module."""
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        """Say what only somebody who looks for a fault wants to know."""
        self._logger.debug(Event(event, fields))

    def info(self, event: str, **fields: object) -> None:
        """Say what happened as it should."""
        self._logger.info(Event(event, fields))

    def warning(self, event: str, **fields: object) -> None:
        """Say what failed and is tried again, or is odd."""
        self._logger.warning(Event(event, fields))

    def error(self, event: str, **fields: object) -> None:
        """Say what failed and needs eyes."""
        self._logger.error(Event(event, fields))


class JsonFormatter(logging.Formatter):
    """One JSON object: `time`, `level`, `event`, `module`, `thread`, then the facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event = event_of(record)
        frame = {
            "time": moment(record),
            "level": record.levelname.lower(),
            "event": event.name,
            "module": record.name,
            "thread": record.threadName,
        }
        # A field of the same name does not win over the frame.
        return json.dumps({**frame, **event.fields, **frame}, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, thread, event, then `name=value`; values quoted where need be."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        frame = (moment(record), record.levelname, record.threadName)
        return " ".join((*map(str, frame), str(event_of(record))))


def set_up(style: LogFormat, *, stream: TextIO, level: int) -> None:
    """Send every event of this process to `stream` from now on."""
    handler = logging.StreamHandler(stream)
    is_json = style is LogFormat.JSON
    handler.setFormatter(JsonFormatter() if is_json else TextFormatter())
    logging.basicConfig(handlers=[handler], level=level, force=True)


def default_format(stream: TextIO) -> LogFormat:
    """Return text for a person at a terminal, JSON for a journal or a file."""
    return LogFormat.TEXT if stream.isatty() else LogFormat.JSON


def event_of(record: logging.LogRecord) -> Event:
    """Return what a record says; a library's message is one field."""
    event = record.msg
    if not isinstance(event, Event):
        event = Event("message", {"text": record.getMessage()})
    if record.exc_info:
        trace = logging.Formatter().formatException(record.exc_info)
        event = Event(event.name, {**event.fields, "exception": trace})
    return event


def moment(record: logging.LogRecord) -> str:
    """Return when it was said: RFC 3339 in UTC with milliseconds."""
    said = datetime.fromtimestamp(record.created, UTC)
    return f"{said:%Y-%m-%dT%H:%M:%S}.{said.microsecond // 1000:03d}Z"


def _word(value: object) -> str:
    """Return a value as one word, as JSON where it is not plain."""
    if isinstance(value, str) and PLAIN.match(value):
        return value
    return json.dumps(value, default=str)
