"""What a reader of the log asks for: query strings in, frozen filters out. Pure.

Nothing is guessed: an unknown parameter, a repeated one or a value that cannot be
read is refused with a message for its field, because a filter that was silently
dropped shows an auditor something else than what they asked for.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from audit.errors import FilterError
from audit.events import EventCode, Outcome, Severity
from audit.search.words import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_PORT: Final = 65_535
MAX_ID: Final = 2**63 - 1
MACHINE_ID: Final = re.compile(r"[a-z]{2}_[1-9][0-9]{0,18}")
WORD: Final = re.compile(r"[0-9A-Za-z:+/=_.-]{1,64}")
# Parameters of the page, not of the question.
PAGE_PARAMETERS: Final = frozenset({"cursor", "format", "columns"})
# `from` is a keyword in Python; `q` is what search fields are called.
PARAMETERS: Final = {"since": "from", "words": "q"}
MAX_WORDS: Final = 8
MAX_TEXT: Final = 200
PERIODS: Final = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}
"""What `last` may ask for; `with_period` turns it into `from`."""


class Decision(StrEnum):
    """What became of a connection."""

    ALLOWED = "allowed"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One question to a log. What is empty or None is not asked.

    `words` are small letters with one blank between; each begins a word of the row.
    `person` finds what concerns a person and, in the control log, what they did.
    `address`, an address or a prefix, and `port` match either end of a connection, or
    where an actor came from. `severity` finds it and what is worse. `since` is inside
    the period, `until` is outside of it.
    """

    words: str = ""
    person: str = ""
    device: str = ""
    key: str = ""
    application: str = ""
    gateway: str = ""
    address: str = ""
    port: int | None = None
    code: EventCode | None = None
    outcome: Outcome | None = None
    severity: Severity | None = None
    verdict: Decision | None = None
    request: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def parameters(self) -> dict[str, str]:
        """Return what is asked, as the parameters that ask it."""
        asked: dict[str, str] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or value == "":
                continue
            text = value.isoformat() if isinstance(value, datetime) else str(value)
            asked[PARAMETERS.get(field.name, field.name)] = text
        return asked

    def without(self, parameter: str) -> Filter:
        """Return the question without one of its parameters."""
        names = {
            PARAMETERS.get(field.name, field.name): field for field in fields(self)
        }
        field = names[parameter]
        dropped: dict[str, Any] = {field.name: field.default}
        return replace(self, **dropped)

    def query_string(self) -> str:
        """Return the question for a link; parsing it gives the same filter."""
        return urlencode(self.parameters())


CONNECTION_FIELDS: Final = frozenset(
    {
        *("person", "device", "key", "application", "gateway"),
        *("words", "address", "port", "verdict", "since", "until"),
    }
)
EVENT_FIELDS: Final = frozenset(
    {
        *("person", "device", "key", "application", "gateway"),
        *("words", "address", "code", "outcome", "severity", "request"),
        *("since", "until"),
    }
)


def connection_filter(query: Mapping[str, Sequence[str]]) -> Filter:
    """Read the question to the connections log (`dict(request.GET.lists())`).

    Raises:
        FilterError: with a message for each parameter that is wrong.
    """
    return _parse(query, CONNECTION_FIELDS)


def event_filter(query: Mapping[str, Sequence[str]]) -> Filter:
    """Read the question to the control log.

    Raises:
        FilterError: with a message for each parameter that is wrong.
    """
    return _parse(query, EVENT_FIELDS)


def with_period(
    query: Mapping[str, Sequence[str]], now: datetime
) -> dict[str, Sequence[str]]:
    """Return the question with `last=hour` (day, week) as the moment it begins at.

    A page and its export must speak of the same rows, so the period is fixed once.

    Raises:
        FilterError: no such period, or another period beside it.
    """
    rest = {name: values for name, values in query.items() if name != "last"}
    given = [value.strip() for value in query.get("last", ()) if value.strip()]
    if not given:
        return rest
    if len(given) > 1 or given[0] not in PERIODS:
        raise FilterError({"last": f"one of {', '.join(PERIODS)}"})
    if any(value.strip() for name in ("from", "until") for value in rest.get(name, ())):
        raise FilterError({"last": "either the last hour, day or week, or from–until"})
    return {**rest, "from": [(now - PERIODS[given[0]]).isoformat()]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A place between two rows, and the direction in which to read from it.

    `at` is empty for the control log, whose order is that of its numbers.
    """

    newer: bool
    number: int
    at: datetime | None = None

    def __str__(self) -> str:
        """Return the cursor as it travels in a link."""
        at = self.at.isoformat() if self.at else ""
        text = json.dumps([int(self.newer), at, self.number], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_cursor(text: str, *, timed: bool) -> Cursor | None:
    """Read a cursor; empty text is the newest page.

    Raises:
        FilterError: it was not made here, or for the other log.
    """
    if not text:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        value = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        newer, at, number = value
        cursor = Cursor(
            newer=bool(newer), number=number, at=_moment(at) if at else None
        )
        known = str(cursor) == text and (cursor.at is not None) == timed
    except (binascii.Error, ValueError, TypeError, AttributeError, RecursionError):
        known = False
    if not known or type(cursor.number) is not int or not 0 < cursor.number <= MAX_ID:
        raise FilterError({"cursor": "this page link is damaged; start from the top"})
    return cursor


def _parse(query: Mapping[str, Sequence[str]], allowed: frozenset[str]) -> Filter:
    names = {PARAMETERS.get(name, name): name for name in allowed}
    found: dict[str, Any] = {}
    messages: dict[str, str] = {}
    for parameter, values in query.items():
        if parameter in PAGE_PARAMETERS:
            continue
        given = [value.strip() for value in values if value.strip()]
        if parameter not in names:
            messages[parameter] = "there is no such filter"
        elif len(given) > 1:
            messages[parameter] = "given more than once"
        elif given:
            name = names[parameter]
            try:
                found[name] = READERS[name](given[0])
            except ValueError as exc:
                messages[parameter] = str(exc)
    since, until = found.get("since"), found.get("until")
    if since and until and since >= until:
        messages["until"] = "the period ends before it begins"
    if messages:
        raise FilterError(messages)
    return Filter(**found)


def _machine_id(text: str) -> str:
    if not MACHINE_ID.fullmatch(text):
        raise ValueError("not an id like us_7")
    return text


def _word(text: str) -> str:
    if not WORD.fullmatch(text):
        raise ValueError("letters, digits and : + / = _ . - only, at most 64")
    return text


def address_or_prefix(text: str) -> str:
    """Return an address or a prefix in its one spelling.

    Raises:
        ValueError: it is neither; the message says what is wrong.
    """
    if "%" in text:
        raise ValueError("an address without a zone")
    if "/" in text:
        return _prefix(text)
    try:
        return str(ip_address(text))
    except ValueError as exc:
        raise ValueError("not an IPv4 or IPv6 address") from exc


def _prefix(text: str) -> str:
    """Read a prefix; one that holds one address is that address."""
    try:
        found = ip_network(text, strict=False)
    except ValueError as exc:
        raise ValueError("not a prefix like 10.20.0.0/24") from exc
    if found.network_address != ip_address(text.partition("/")[0]):
        raise ValueError(f"bits are set beyond the mask; did you mean {found}?")
    one = found.prefixlen == found.max_prefixlen
    return str(found.network_address if one else found)


def _words(text: str) -> str:
    found = words_of(text)
    if not found:
        raise ValueError("no letter and no digit to search for")
    if len(text) > MAX_TEXT or len(found) > MAX_WORDS:
        raise ValueError(f"at most {MAX_WORDS} words and {MAX_TEXT} characters")
    return " ".join(found)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= MAX_PORT:
        raise ValueError(f"a port is a number from 1 to {MAX_PORT}")
    return int(text)


def _code(text: str) -> EventCode:
    try:
        return EventCode(text.upper())
    except ValueError as exc:
        raise ValueError("no event has this code") from exc


def _outcome(text: str) -> Outcome:
    try:
        return Outcome(text.upper())
    except ValueError as exc:
        raise ValueError(f"one of {', '.join(Outcome)}") from exc


def _severity(text: str) -> Severity:
    try:
        return Severity(text.lower())
    except ValueError as exc:
        raise ValueError(f"one of {', '.join(Severity)}") from exc


def _decision(text: str) -> Decision:
    try:
        return Decision(text.lower())
    except ValueError as exc:
        raise ValueError(f"one of {', '.join(Decision)}") from exc


def _moment(text: str) -> datetime:
    """Read a date or a time; without an offset it is UTC."""
    # A `+` that was not escaped in a URL arrives as a space.
    value = re.sub(r"(T.+) (\d\d:\d\d)$", r"\1+\2", text)
    # Python's reader stops at a NUL and says nothing.
    plain = "".join(c if c.isprintable() else "?" for c in value)
    try:
        found = datetime.fromisoformat(plain)
        if found.tzinfo is None:
            return found.replace(tzinfo=UTC)
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ValueError("write 2026-05-03 or 2026-05-03T14:30, in UTC") from exc


def _end(text: str) -> datetime:
    """Read the end of a period: a bare date is meant with its whole day."""
    try:
        day = date.fromisoformat(text)
        return datetime.combine(day + timedelta(days=1), time.min, UTC)
    except ValueError:
        return _moment(text)
    except OverflowError as exc:
        raise ValueError("too late") from exc


READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "words": _words,
    "person": _machine_id,
    "device": _machine_id,
    "key": _word,
    "application": _machine_id,
    "gateway": _machine_id,
    "address": address_or_prefix,
    "port": _port,
    "code": _code,
    "outcome": _outcome,
    "severity": _severity,
    "verdict": _decision,
    "request": _word,
    "since": _moment,
    "until": _end,
}
