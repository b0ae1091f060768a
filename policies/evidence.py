"""Records of a gateway's spool, read strictly. Pure.

A batch whose numbers do not rise is refused as a whole: nothing in it has a place. A
record that has its place but is wrong in itself (an unknown kind, a missing or unknown
key, a value out of its bounds) is refused alone, or it would hold back for ever what
comes after it. What is read here keeps the record as it was sent; who it concerns is
found elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from typing import Final

from audit.models import FlowKind
from audit.text import visible
from policies.compiler.canonical import (
    canonical_json,
    fields,
    integer,
    parse_time,
    text,
)
from policies.compiler.errors import SnapshotFormatError
from policies.errors import EvidenceError
from policies.evidence_records import (
    DriftRecord,
    FlowRecord,
    FlowTableRecord,
    GapRecord,
    HandshakeRecord,
    IPAddress,
    Record,
    RefusedRecord,
    StartRecord,
    TotalsRecord,
)

MAX_RECORDS: Final = 5000
_SPOOL: Final = re.compile(r"([0-9a-f]{32})?")
MAX_RECORD_BYTES: Final = 8192
MAX_TEXT: Final = 64
MAX_PROTOCOL: Final = 255
MAX_PORT: Final = 65535
MAX_MARK: Final = 2**32 - 1
MAX_COUNT: Final = 2**53 - 1
MAX_EXCERPT: Final = 512
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Beyond is no time that a kernel tells, and too near the ends of what can be told."""

_TUPLE: Final = frozenset(
    {"protocol", "source", "source_port", "destination", "destination_port"}
)
_FLOW: Final = frozenset({"seq", "kind", "at", "flow", "device"}) | _TUPLE
_COUNTS: Final = frozenset({"bytes_up", "bytes_down", "packets_up", "packets_down"})
_SUMS: Final = frozenset({"accepted", "logged", "lost", "opened"})
_KEYS: Final = {
    "open": _FLOW | {"grant", "application", "generation"},
    "close": _FLOW | _COUNTS | {"started_at", "ended_at", "reason"},
    "deny": _FLOW | {"reason", "generation"},
    "gap": frozenset({"seq", "kind", "at", "source", "lost"}),
    "start": frozenset({"seq", "kind", "at", "boot_id"}),
    "drift": frozenset({"seq", "kind", "at", "what"}),
    "flow_table": frozenset({"seq", "kind", "at", "state", "entries", "most"}),
    "totals": frozenset({"seq", "kind", "at", "since"}) | _SUMS,
    "handshake": frozenset({"seq", "kind", "at", "device", "endpoint", "handshake_at"})
    | {"bytes_up", "bytes_down"},
}
_OPTIONAL: Final = {"drift": frozenset({"by", "repaired_ms"})}
"""What agents of earlier versions do not say."""


def parse_spool(value: object) -> str:
    """Return the name of a spool: 32 hexadecimal digits, or empty from older agents.

    Raises:
        EvidenceError: it is something else.
    """
    if isinstance(value, str) and _SPOOL.fullmatch(value):
        return value
    msg = "spool is not 32 hexadecimal digits"
    raise EvidenceError(msg)


def parse_records(values: object) -> tuple[Record, ...]:
    """Return the records of a batch, in order; refused ones among them.

    Raises:
        EvidenceError: the batch is not a list of at most 5,000 objects with rising
            numbers; the message names the record and what is wrong.
    """
    if not isinstance(values, list):
        msg = "records are not a list"
        raise EvidenceError(msg)
    if len(values) > MAX_RECORDS:
        msg = f"{len(values)} records; a batch has at most {MAX_RECORDS}"
        raise EvidenceError(msg)
    last = 0
    records = []
    for place, value in enumerate(values):
        sequence = _sequence(place, value)
        if sequence <= last:
            msg = f"record {sequence} follows record {last}"
            raise EvidenceError(msg)
        last = sequence
        records.append(_record(sequence, value))
    return tuple(records)


def _sequence(place: int, value: object) -> int:
    try:
        return integer(value.get("seq") if isinstance(value, dict) else None)
    except SnapshotFormatError as exc:
        msg = f"record number {place} of the batch has no number of its own: {exc}"
        raise EvidenceError(msg) from exc


def _record(sequence: int, value: Mapping[str, object]) -> Record:
    try:
        return _read(_plain(value))
    except SnapshotFormatError as exc:
        return RefusedRecord(
            sequence=sequence,
            why=visible(str(exc))[:MAX_EXCERPT],
            excerpt=_excerpt(value),
        )


def _read(value: Mapping[str, object]) -> Record:  # noqa: PLR0911 -- one for each kind
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in _KEYS:
        msg = f"the kind is none of {', '.join(_KEYS)}"
        raise SnapshotFormatError(msg)
    optional = _OPTIONAL.get(kind, frozenset()) & value.keys()
    item = fields(value, _KEYS[kind] | optional)
    sequence, at = integer(item["seq"]), _moment(item["at"])
    match kind:
        case "gap":
            return GapRecord(
                sequence=sequence,
                at=at,
                source=_word(item["source"]),
                lost=integer(item["lost"], minimum=0),
            )
        case "handshake":
            return _handshake(item, sequence, at)
        case "totals":
            return TotalsRecord(
                sequence=sequence,
                at=at,
                since=_word(item["since"]),
                sums={
                    name: integer(item[name], minimum=0, maximum=MAX_COUNT)
                    for name in sorted(_SUMS)
                },
            )
        case "start":
            return StartRecord(sequence=sequence, at=at, boot_id=_word(item["boot_id"]))
        case "drift":
            by, repaired_ms = item.get("by"), item.get("repaired_ms")
            return DriftRecord(
                sequence=sequence,
                at=at,
                what=_word(item["what"], length=1024),
                by=None if by is None else _word(by),
                repaired_ms=None
                if repaired_ms is None
                else integer(repaired_ms, minimum=0, maximum=MAX_COUNT),
            )
        case "flow_table":
            return FlowTableRecord(
                sequence=sequence,
                at=at,
                is_crowded=_state(item["state"]),
                entries=integer(item["entries"], minimum=0, maximum=MAX_COUNT),
                most=integer(item["most"], maximum=MAX_COUNT),
            )
        case _:
            return _flow(item, sequence, at, FlowKind(kind))


def _handshake(
    item: Mapping[str, object], sequence: int, at: datetime
) -> HandshakeRecord:
    up, down = (
        integer(item[name], minimum=0, maximum=MAX_COUNT)
        for name in ("bytes_up", "bytes_down")
    )
    address, port = None, None
    if item["endpoint"] is not None:
        host, _, number = _word(item["endpoint"]).rpartition(":")
        address = _address(host.strip("[]"))
        port = integer(int(number) if number.isdecimal() else None, maximum=MAX_PORT)
    shaken = item["handshake_at"]
    return HandshakeRecord(
        sequence=sequence,
        at=at,
        device=integer(item["device"], maximum=MAX_MARK),
        address=address,
        port=port,
        handshake_at=None if shaken is None else _moment(shaken),
        bytes_up=up,
        bytes_down=down,
    )


def _state(value: object) -> bool:
    """Return whether a table is said to be crowded."""
    if value not in {"crowded", "relieved"}:
        msg = "the state of a table is crowded or relieved"
        raise SnapshotFormatError(msg)
    return value == "crowded"


def _flow(
    item: Mapping[str, object], sequence: int, at: datetime, kind: FlowKind
) -> FlowRecord:
    source, destination = _address(item["source"]), _address(item["destination"])
    if source.version != destination.version:
        msg = "source and destination are of different families"
        raise SnapshotFormatError(msg)
    return FlowRecord(
        sequence=sequence,
        kind=kind,
        at=at,
        flow=_word(item["flow"]),
        device=_device(item["device"], kind),
        protocol=integer(item["protocol"], minimum=0, maximum=MAX_PROTOCOL),
        source=source,
        source_port=_port(item["source_port"]),
        destination=destination,
        destination_port=_port(item["destination_port"]),
        grant=_id(item, "grant"),
        application=_id(item, "application"),
        generation=_id(item, "generation", minimum=0),
        counts={
            name: integer(item[name], minimum=0, maximum=MAX_COUNT)
            for name in sorted(_COUNTS & item.keys())
        },
        started_at=_time(item, "started_at"),
        ended_at=_time(item, "ended_at"),
        reason=_word(item["reason"]) if "reason" in item else "",
        body=item,
    )


def _plain(value: Mapping[str, object]) -> Mapping[str, object]:
    # Records are flat; anything nested would be an attack on whoever reads them.
    flat: dict[str, str | int | None] = {}
    for name, item in value.items():
        if not isinstance(item, str | int | None):
            msg = f"{name} is neither text nor an integer"
            raise SnapshotFormatError(msg)
        flat[name] = item
    if len(canonical_json(flat)) > MAX_RECORD_BYTES:
        msg = f"longer than {MAX_RECORD_BYTES} bytes"
        raise SnapshotFormatError(msg)
    return flat


def _excerpt(value: Mapping[str, object]) -> str:
    flat = {k: v for k, v in value.items() if isinstance(v, str | int | float | None)}
    return json.dumps(flat)[:MAX_EXCERPT]


def _word(value: object, *, length: int = MAX_TEXT) -> str:
    word = text(value)
    if not word or len(word) > length or not word.isascii() or not word.isprintable():
        msg = f"expected up to {length} printable ASCII characters"
        raise SnapshotFormatError(msg)
    return word


def _address(value: object) -> IPAddress:
    try:
        address = ip_address(text(value))
    except ValueError as exc:
        raise SnapshotFormatError(str(exc)) from exc
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        msg = f"{value} carries a zone"
        raise SnapshotFormatError(msg)
    return address


def _device(value: object, kind: FlowKind) -> int | None:
    if value is None and kind is FlowKind.DENY:
        return None
    return integer(value, maximum=MAX_MARK)


def _port(value: object) -> int | None:
    return None if value is None else integer(value, minimum=0, maximum=MAX_PORT)


def _id(item: Mapping[str, object], name: str, *, minimum: int = 1) -> int | None:
    return integer(item[name], minimum=minimum) if name in item else None


def _time(item: Mapping[str, object], name: str) -> datetime | None:
    return _moment(item[name]) if name in item else None


def _moment(value: object) -> datetime:
    moment = parse_time(value)
    if not EARLIEST <= moment < LATEST:
        msg = f"{value} is no time of ours"
        raise SnapshotFormatError(msg)
    return moment
