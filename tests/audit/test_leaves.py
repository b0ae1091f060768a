"""An event has one form in bytes, which anybody can make again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import rfc8785

from audit.errors import LeafError
from audit.leaves import event_leaf, flow_leaf
from audit.models import AuditEvent, FlowEvent

JCS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "jcs" / "testdata"
AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def event(**fields: Any) -> AuditEvent:  # noqa: ANN401 -- the model's columns
    values = {
        "uid": UUID(int=7),
        "at": AT,
        "code": "DV012",
        "outcome": "I",
        "actor_kind": "user",
        "person_id": "us_1",
        "person_label": "Zoë",
    }
    return AuditEvent(**(values | fields))


def test_leaf_of_an_event_is_canonical_and_without_empty_values() -> None:
    assert (
        event_leaf(event(details={"b": [], "a": 1}))
        == (
            '{"actor":{"kind":"user"},"code":"DV012","details":{"a":1,"b":[]},'
            '"id":"00000000-0000-0000-0000-000000000007",'
            '"person":{"id":"us_1","label":"Zoë"},"res":"I",'
            '"t":"2026-11-23T12:00:00.000000Z","v":1}'
        ).encode()
    )


def test_leaf_of_a_flow_keeps_record_and_attribution_apart() -> None:
    found = FlowEvent(
        gateway_id="gw_1",
        sequence=2**60,
        kind="open",
        at=AT,
        received_at=AT,
        flow="f1",
        body={"bytes_up": 2**53},
        attribution={"person_id": "us_1"},
    )
    leaf = json.loads(flow_leaf(found))
    assert (leaf["seq"], leaf["record"]) == (str(2**60), {"bytes_up": str(2**53)})
    assert leaf["who"] == {"person_id": "us_1"}


def test_the_same_moment_gives_the_same_leaf() -> None:
    east = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert event_leaf(event(at=east)) == event_leaf(event())


@pytest.mark.parametrize(
    "change",
    [
        {"uid": UUID(int=8)},
        {"at": AT + timedelta(microseconds=1)},
        {"code": "DV009"},
        {"outcome": "W"},
        {"actor_label": "x"},
        {"actor_address": "x"},
        {"person_id": "us_2"},
        {"device_id": "x"},
        {"gateway_label": "x"},
        {"application_id": "x"},
        {"target_label": "x"},
        {"request_id": "x"},
        {"reason": "x"},
        {"details": {"a": 1}},
    ],
    ids=str,
)
def test_every_column_is_in_the_leaf(change: dict[str, Any]) -> None:
    assert event_leaf(event(**change)) != event_leaf(event())


@pytest.mark.parametrize(
    "details",
    [{"a": 1.5}, {"a": [float("nan")]}, {"a": "\ud800"}, {"a": "x" * 65_536}],
    ids=["float", "nan", "surrogate", "too_long"],
)
def test_what_has_no_exact_form_is_refused(details: dict[str, Any]) -> None:
    with pytest.raises(LeafError):
        event_leaf(event(details=details))


@pytest.mark.skipif(
    not JCS.is_dir(), reason="../shared/vectors is not here (a user's clone)"
)
@pytest.mark.parametrize(
    "name", ["arrays", "french", "structures", "unicode", "values", "weird"]
)
def test_canonical_json_is_that_of_rfc_8785(name: str) -> None:
    value = json.loads((JCS / "input" / f"{name}.json").read_text(encoding="utf-8"))
    assert rfc8785.dumps(value) == (JCS / "output" / f"{name}.json").read_bytes()
