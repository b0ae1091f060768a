"""An export is what the filter shows, and harmless to whoever opens it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync

from audit import exports, selectors, services
from audit.actor import Actor, Ref
from audit.events import EventCode
from audit.models import Connection, FlowKind
from audit.search.filters import Decision, Filter
from tests.audit.conftest import ALICE, GATEWAY, NOON, MakeFlow


def csv_rows(chunks: Iterator[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(chunks), newline="")))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", r"'\x09=1"),
        ("\r=1", r"'\x0d=1"),
        ("  =1", "'  =1"),
        ("\uff1d1", "'\uff1d1"),
        ("\x1b[2J\u202e", r"\x1b[2J\u202e"),
        ("a=b", "a=b"),
        (-5, "'-5"),
        (None, ""),
        (True, "True"),
        ({"a": "=\u202e"}, '{"a":"=\\u202e"}'),
        (NOON, "2026-11-23T12:00:00.000000Z"),
    ],
    ids=repr,
)
def test_no_cell_is_a_formula_or_a_control_sequence(value: object, text: str) -> None:
    assert exports.cell(value) == text


@pytest.mark.django_db
def test_csv_and_json_lines_hold_exactly_what_the_filter_finds(
    make_flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "EXPORT_PAGE_SIZE", 3)
    monkeypatch.setattr(exports, "CHUNK_ROWS", 2)
    flows = [
        make_flow((FlowKind.DENY, FlowKind.OPEN)[number % 2], number, flow=f"f{number}")
        for number in range(1, 17)
    ]
    services.record_flows(gateway=GATEWAY, flows=flows, now=NOON)
    denied = Filter(verdict=Decision.DENIED, since=NOON + timedelta(seconds=2))
    shown = [row.flow for row in selectors.list_connections(denied).items]
    assert len(shown) == 8
    assert [row["flow"] for row in csv_rows(exports.connections_csv(denied))] == shown
    lines = "".join(exports.connections_jsonl(denied)).splitlines()
    assert [json.loads(line)["flow"] for line in lines] == shown


@pytest.mark.django_db
def test_an_export_is_longer_than_any_page(
    actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "EXPORT_PAGE_SIZE", 2)
    for _ in range(5):
        services.record(EventCode.USER_LOGIN, actor=actor, now=NOON)
    assert len(csv_rows(exports.events_csv(Filter()))) == 5


@pytest.mark.django_db
def test_export_of_nothing_has_a_header_and_no_rows() -> None:
    (header,) = exports.connections_csv(Filter())
    assert header.startswith('"id","gateway_id","gateway_label","flow"')
    assert header.endswith("\r\n")
    assert list(exports.connections_jsonl(Filter())) == []


@pytest.mark.django_db
def test_events_are_exported_with_their_sentence(actor: Actor) -> None:
    person = Ref(id="us_1", label="=HYPERLINK(1)")
    services.record(
        EventCode.USER_LOGIN, actor=actor, now=NOON, person=person, details={"acr": "1"}
    )
    (row,) = csv_rows(exports.events_csv(Filter()))
    assert row["person_label"] == "'=HYPERLINK(1)"
    assert row["sentence"] == "'=HYPERLINK(1) signed in"
    (line,) = "".join(exports.events_jsonl(Filter())).splitlines()
    found = json.loads(line)
    assert (found["person_label"], found["details"]) == ("=HYPERLINK(1)", {"acr": "1"})


@pytest.mark.django_db
def test_json_lines_are_plain_ascii(make_flow: MakeFlow) -> None:
    flow = make_flow(FlowKind.OPEN, 1, person=Ref(id="us_1", label="Zoë \x7f"))
    services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)
    Connection.objects.update(device_label="past our guard \u202e\x1b")
    text = "".join(exports.connections_jsonl(Filter()))
    assert text.isascii()
    assert text.removesuffix("\n").isprintable()


@pytest.mark.django_db
def test_asynchronous_chunks_are_the_same(make_flow: MakeFlow) -> None:
    flow = make_flow(FlowKind.OPEN, 1, person=ALICE)
    services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)

    async def collect() -> list[str]:
        chunks = exports.connections_csv(Filter())
        return [chunk async for chunk in exports.asynchronous(chunks)]

    assert async_to_sync(collect)() == list(exports.connections_csv(Filter()))
