"""One entry of either log as every format takes it. Pure: no Django, no clock.

A record has its place in its log (`log`, `index`), by which a receiver knows that
something came twice, and `values`: the columns of its row under their own names, as
JSON knows them. `code` and `outcome` are those of the catalogue; connections take the
codes FL001 to FL003.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from audit.catalogue.kinds import Severity
from audit.leaves import moment
from audit.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "CONNECTIONS",
    "CONTROL",
    "FAILED",
    "PRODUCT",
    "Record",
    "Severity",
    "json_text",
    "milliseconds",
    "native",
)

CONTROL: Final = "control"
CONNECTIONS: Final = "connections"
FAILED: Final = "E"
PRODUCT: Final = "Peerage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One entry of a log.

    `uid` names the entry for ever; `index` is its place in its log. `at` is when it
    happened, `received_at` when the portal heard of it.
    """

    log: str
    index: int
    uid: str
    at: datetime
    received_at: datetime
    code: str
    outcome: str
    name: str
    severity: Severity
    sentence: str
    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a column as text that can neither break a line nor hide."""
        value = self.values.get(name)
        return "" if value is None else visible(str(value))


def native(record: Record) -> dict[str, Any]:
    """Return a record under our own names; what is empty is left out."""
    columns = {
        name: value
        for name, value in record.values.items()
        if value not in (None, "", {}, [])
    }
    return {
        **columns,
        "log": record.log,
        "index": record.index,
        "uid": record.uid,
        "at": moment(record.at),
        "received_at": moment(record.received_at),
        "code": record.code,
        "outcome": record.outcome,
        "name": record.name,
        "severity": record.severity.value,
        "sentence": record.sentence,
    }


def json_text(value: object) -> str:
    """Return JSON in one line of plain ASCII, whatever a name in it contains."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def milliseconds(at: datetime) -> int:
    """Return a time as milliseconds since 1970."""
    since = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
