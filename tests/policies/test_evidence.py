"""Records are read strictly; one that cannot be is refused alone. No database."""

from __future__ import annotations

from typing import Any

import pytest

from policies.errors import EvidenceError
from policies.evidence import parse_records
from policies.evidence_records import (
    FlowRecord,
    RefusedRecord,
)
from tests.policies.makers import closed, denied, moment, opened


def test_every_kind_is_read() -> None:
    records = parse_records(
        [
            opened(1),
            closed(2),
            denied(3, device=None, source_port=None, destination_port=None),
            {"seq": 4, "kind": "gap", "at": moment(), "source": "nflog", "lost": 9},
            {"seq": 5, "kind": "start", "at": moment(), "boot_id": "b007"},
            {"seq": 6, "kind": "drift", "at": moment(), "what": "a foreign peer"},
        ]
    )
    assert [record.sequence for record in records] == [1, 2, 3, 4, 5, 6]


def test_flow_begins_when_it_started_not_when_it_was_reported() -> None:
    [record] = parse_records([closed(1, at=moment(seconds=99))])
    assert isinstance(record, FlowRecord)
    assert record.begun_at == record.started_at != record.at


def test_empty_batch_is_good() -> None:
    assert parse_records([]) == ()


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


BAD_BATCHES: dict[str, Any] = {
    "no list": {"records": []},
    "not an object": [5],
    "same number twice": [opened(1), closed(1)],
    "falling numbers": [opened(2), closed(1)],
    "number 0": [opened(0)],
    "number true": [opened(1, seq=True)],
    "no number": [without(opened(1), "seq")],
    "number absurd": [opened(1, seq=2**53)],
    "too many": [opened(number) for number in range(1, 5002)],
}
BAD_RECORDS: dict[str, dict[str, Any]] = {
    "unknown kind": opened(1, kind="close "),
    "kind number": opened(1, kind=1),
    "missing key": without(opened(1), "grant"),
    "unknown key": opened(1, name="alice"),
    "nested": opened(1, flow={"a": 1}),
    "float": closed(1, bytes_up=1.5),
    "time without zone": opened(1, at="2026-11-23T12:00:00.000000"),
    "time in seconds": opened(1, at="2026-11-23T12:00:00Z"),
    "time before computers": opened(1, at="0001-01-01T00:00:00.000000Z"),
    "time after all": opened(1, at="9999-12-31T23:59:59.999999Z"),
    "started after all": closed(1, started_at="9999-12-31T23:59:59.999999Z"),
    "source not an address": opened(1, source="laptop"),
    "source with zone": opened(1, source="fe80::1%eth0", destination="fe80::2"),
    "two families": opened(1, source="fd00::1"),
    "protocol 256": opened(1, protocol=256),
    "port 65536": opened(1, source_port=65536),
    "port negative": opened(1, destination_port=-1),
    "device null": opened(1, device=None),
    "device 0": opened(1, device=0),
    "device beyond a mark": opened(1, device=2**32),
    "bytes negative": closed(1, bytes_up=-1),
    "bytes absurd": closed(1, bytes_up=2**60),
    "flow too long": opened(1, flow="f" * 65),
    "flow empty": opened(1, flow=""),
    "control character": denied(1, reason="no_grant\n"),
    "gap negative": {
        "seq": 1,
        "kind": "gap",
        "at": moment(),
        "source": "nflog",
        "lost": -1,
    },
    "too long": {"seq": 1, "kind": "drift", "at": moment(), "what": "x" * 9000},
    "lone surrogate": denied(1, reason="\ud800"),
}


@pytest.mark.parametrize("records", BAD_BATCHES.values(), ids=BAD_BATCHES.keys())
def test_batch_without_rising_numbers_is_refused(records: object) -> None:
    with pytest.raises(EvidenceError):
        parse_records(records)


@pytest.mark.parametrize("record", BAD_RECORDS.values(), ids=BAD_RECORDS.keys())
def test_malformed_record_is_refused_alone(record: dict[str, Any]) -> None:
    refused, good = parse_records([record, opened(2)])
    assert isinstance(refused, RefusedRecord)
    assert refused.why
    assert (refused.sequence, good.sequence) == (1, 2)
    assert isinstance(good, FlowRecord)
