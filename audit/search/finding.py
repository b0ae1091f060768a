"""From a filter to the rows it finds.

An index answers "this source, newest first" without a look at anything else, but not
"this source *or* this destination, newest first": there it must collect every row
before it can order them. So a filter has *ways*, one for each end that could be meant;
their first rows together hold the first rows of all. `connections` and `events` are
the same rows in one piece, to be counted, where order does not matter.
"""

from __future__ import annotations

import re
from functools import reduce
from itertools import product
from operator import or_
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q, QuerySet

from audit.events import CATALOGUE, OPENINGS, EventCode, Outcome, Severity
from audit.models import AuditEvent, Connection
from audit.search.lookups import Says, Within
from audit.search.words import CONNECTION_TEXT, EVENT_TEXT, begins_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from audit.search.filters import Filter

LABEL: Final = re.compile(r"\{[a-z_]+\}")
CONNECTION_COLUMNS: Final = {
    "person": "person_id",
    "device": "device_id",
    "key": "key_fingerprint",
    "application": "application_id",
    "gateway": "gateway_id",
    "verdict": "verdict",
    "since": "started_at__gte",
    "until": "started_at__lt",
}
EVENT_COLUMNS: Final = {
    "device": "device_id",
    "key": "details__fingerprint",
    "application": "application_id",
    "gateway": "gateway_id",
    "code": "code",
    "outcome": "outcome",
    "request": "request_id",
    "since": "at__gte",
    "until": "at__lt",
}


def connections(filters: Filter) -> QuerySet[Connection]:
    """Return the connections that a filter finds, in no order."""
    rows = _plain_connections(filters)
    for alternatives in _connection_alternatives(filters):
        rows = rows.filter(reduce(or_, alternatives))
    return rows


def connection_ways(filters: Filter) -> Iterator[QuerySet[Connection]]:
    """Return the connections that a filter finds, in the ways an index knows."""
    rows = _plain_connections(filters)
    for way in product(*_connection_alternatives(filters)):
        yield rows.filter(*way)


def events(filters: Filter) -> QuerySet[AuditEvent]:
    """Return the events that a filter finds, in no order."""
    rows = _plain_events(filters)
    for alternatives in _event_alternatives(filters):
        rows = rows.filter(reduce(or_, alternatives))
    return rows


def event_ways(filters: Filter) -> Iterator[QuerySet[AuditEvent]]:
    """Return the events that a filter finds, in the ways an index knows."""
    rows = _plain_events(filters)
    for way in product(*_event_alternatives(filters)):
        yield rows.filter(*way)


def _plain_connections(filters: Filter) -> QuerySet[Connection]:
    rows = Connection.objects.filter(**_asked(filters, CONNECTION_COLUMNS))
    if filters.words:
        rows = rows.filter(Says(filters.words.split(), CONNECTION_TEXT))
    return rows


def _connection_alternatives(filters: Filter) -> Iterator[Sequence[Q]]:
    if filters.address:
        yield [_at(name, filters.address) for name in ("source", "destination")]
    if filters.port:
        yield [Q(destination_port=filters.port), Q(source_port=filters.port)]


def _plain_events(filters: Filter) -> QuerySet[AuditEvent]:
    rows = AuditEvent.objects.filter(**_asked(filters, EVENT_COLUMNS))
    if filters.address:
        rows = rows.filter(_at("actor_address", filters.address, is_text=True))
    for word in filters.words.split():
        rows = rows.filter(
            Q(Says([word], EVENT_TEXT))
            | Q(code__in=_codes_that_say(word))
            | Q(outcome__in=_outcomes_that_say(word))
        )
    return rows


def _event_alternatives(filters: Filter) -> Iterator[Sequence[Q]]:
    if filters.person:
        yield [Q(person_id=filters.person), Q(actor_id=filters.person)]
    if filters.severity:
        yield [
            Q(outcome=outcome, code__in=codes)
            for outcome in Outcome
            if (codes := _codes_at_least(filters.severity, outcome))
        ]


def _asked(filters: Filter, columns: dict[str, str]) -> dict[str, Any]:
    values = {column: getattr(filters, name) for name, column in columns.items()}
    return {column: value for column, value in values.items() if value}


def _at(column: str, address: str, *, is_text: bool = False) -> Q:
    if "/" in address:
        return Q(Within(column, address, is_text=is_text))
    return Q(**{column: address})


def _codes_at_least(severity: Severity, outcome: Outcome) -> list[EventCode]:
    """Return the codes that are as severe when they end so, or more."""
    return [
        code
        for code, kind in CATALOGUE.items()
        if outcome in kind.outcomes and kind.severities[outcome].rank >= severity.rank
    ]


def _codes_that_say(word: str) -> list[EventCode]:
    """Return the codes whose sentences have a word that begins so."""
    return [
        code
        for code, kind in CATALOGUE.items()
        if begins_words(word, f"{kind.name} {LABEL.sub('', kind.sentence)}")
    ]


def _outcomes_that_say(word: str) -> list[Outcome]:
    return [
        outcome for outcome, opening in OPENINGS.items() if begins_words(word, opening)
    ]
