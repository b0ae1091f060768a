"""Bodies of requests: each entry whole, and no entry able to begin another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit.formats.bodies import Shape, hec_body, lines_body, webhook_body
from tests.audit.formats.conftest import HOSTILE, MakeRecord


def objects(body: bytes) -> list[Any]:
    """Read objects one after another, as Splunk's collector does."""
    text, decoder, found = body.decode("ascii"), json.JSONDecoder(), []
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def test_a_webhook_says_which_places_it_holds(make_event: MakeRecord) -> None:
    body = json.loads(
        webhook_body(
            [make_event(index=4), make_event(index=9)],
            Shape.NATIVE,
            stream="st_1",
            deployment="acme",
        )
    )
    assert (body["stream"], body["deployment"], body["log"]) == (
        "st_1",
        "acme",
        "control",
    )
    assert (body["first"], body["last"]) == (4, 9)
    assert [event["index"] for event in body["events"]] == [4, 9]


@pytest.mark.parametrize("shape", Shape)
def test_json_lines_are_as_many_lines_as_entries(
    shape: Shape, make_event: MakeRecord
) -> None:
    entries = [make_event(person_label=HOSTILE), make_event(sentence=HOSTILE)]
    body = lines_body(entries, shape, deployment="acme")
    assert body.endswith(b"\n")
    assert len(body.splitlines()) == 2
    assert all(isinstance(json.loads(line), dict) for line in body.splitlines())


@pytest.mark.parametrize("shape", Shape)
def test_hec_reads_as_many_events_as_entries(
    shape: Shape, make_flow_record: MakeRecord
) -> None:
    entries = [make_flow_record(person_label=HOSTILE), make_flow_record(index=8)]
    found = objects(hec_body(entries, shape, deployment="acme"))
    assert [event["fields"]["peerage_index"] for event in found] == ["7", "8"]
    assert found[0]["time"] == 1795435200.123
    assert found[0]["host"] == "acme"
    assert found[0]["source"] == "peerage:connections"
    assert found[0]["sourcetype"] == {"native": "peerage:json", "ocsf": "ocsf"}[shape]


def test_hec_fields_are_flat_text(make_event: MakeRecord) -> None:
    (event,) = objects(hec_body([make_event()], Shape.NATIVE, deployment="acme"))
    assert all(isinstance(value, str) for value in event["fields"].values())
    assert event["fields"]["peerage_code"] == "DV012I"
