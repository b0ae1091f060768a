r"""Batches as the bodies of HTTP requests. Pure.

* *webhook*: one JSON object that says which log and which range it holds;
* *lines*: JSON Lines (one object a line, `\n` at the end of each);
* *hec*: event objects one after another, as Splunk's HTTP Event Collector reads them.

Each holds entries in one of two shapes: our own names, or OCSF. All of it is ASCII.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, assert_never

from audit.formats.ocsf import ocsf
from audit.formats.records import json_text, milliseconds, native

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audit.formats.records import Record

SOURCE_TYPES: Final = {"native": "peerage:json", "ocsf": "ocsf"}


class Shape(StrEnum):
    """How one entry looks."""

    NATIVE = "native"
    OCSF = "ocsf"


def shaped(record: Record, shape: Shape, *, deployment: str) -> dict[str, Any]:
    """Return an entry in a shape."""
    match shape:
        case Shape.NATIVE:
            return native(record)
        case Shape.OCSF:
            return ocsf(record, deployment=deployment)
    assert_never(shape)


def webhook_body(
    records: Sequence[Record], shape: Shape, *, stream: str, deployment: str
) -> bytes:
    """Return a batch as one object; at least one record, all of one log.

    `first` and `last` are places in the log. A stream with a filter leaves some out,
    so a gap between batches says nothing; a place seen before says it came twice.
    """
    return json_text(
        {
            "stream": stream,
            "deployment": deployment,
            "log": records[0].log,
            "first": records[0].index,
            "last": records[-1].index,
            "events": [shaped(r, shape, deployment=deployment) for r in records],
        }
    ).encode()


def lines_body(records: Sequence[Record], shape: Shape, *, deployment: str) -> bytes:
    """Return a batch as JSON Lines."""
    return b"".join(
        json_text(shaped(record, shape, deployment=deployment)).encode() + b"\n"
        for record in records
    )


def hec_body(records: Sequence[Record], shape: Shape, *, deployment: str) -> bytes:
    """Return a batch as Splunk's collector reads it (`/services/collector/event`)."""
    return "\n".join(
        json_text(
            {
                # Seconds with three decimals, which is what an index keeps.
                "time": milliseconds(record.at) / 1000,
                "host": deployment,
                "source": f"peerage:{record.log}",
                "sourcetype": SOURCE_TYPES[shape.value],
                "event": shaped(record, shape, deployment=deployment),
                "fields": {
                    "peerage_log": record.log,
                    "peerage_index": str(record.index),
                    "peerage_uid": record.uid,
                    "peerage_code": f"{record.code}{record.outcome}",
                },
            }
        )
        for record in records
    ).encode()
