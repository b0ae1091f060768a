"""An event has one form in bytes; what is personal is in it as a commitment."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import LeafError
from audit.leaves import (
    MAX_LENGTH,
    MAX_SAFE_INTEGER,
    agrees,
    canonical,
    commitment,
    event_row,
    event_shape,
    flow_row,
    flow_shape,
)
from audit.models import AuditEvent, FlowEvent

JCS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "jcs" / "testdata"
AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NONCE = bytes(range(16))
SALT = b"s" * 32
OPEN = ("generation",)


def event(**fields: Any) -> AuditEvent:  # noqa: ANN401 -- the model's columns
    values = {
        "uid": UUID(int=7),
        "at": AT,
        "code": "DV012",
        "outcome": "I",
        "actor_kind": "user",
        "person_id": "us_1",
        "person_label": "Zo\u00eb",
        "nonce": NONCE,
    }
    return AuditEvent(**(values | fields))


def flow(**fields: Any) -> FlowEvent:  # noqa: ANN401 -- the model's columns
    values = {
        "gateway_id": "gw_1",
        "sequence": 2**60,
        "kind": "open",
        "at": AT,
        "received_at": AT,
        "flow": "f1",
        "body": {"bytes_up": 2**53},
        "attribution": {"person_id": "us_1", "device_id": "dv_1"},
        "nonce": NONCE,
    }
    return FlowEvent(**(values | fields))


def leaf(made: AuditEvent, salt: bytes = SALT) -> bytes:
    return event_shape(event_row(made), open_details=OPEN).leaf({"us_1": salt})


def flow_leaf(made: FlowEvent) -> bytes:
    return flow_shape(flow_row(made)).leaf({"us_1": SALT})


def test_leaf_is_canonical_and_holds_no_name() -> None:
    who = commitment(SALT, "person", {"person_id": "us_1", "person_label": "Zo\u00eb"})
    hidden = commitment(SALT, "private", {"b": []})
    made = event(details={"b": [], "generation": 1})
    assert json.loads(leaf(made)) == {
        "actor": {"kind": "user"},
        "code": "DV012",
        "details": {"generation": 1},
        "id": "00000000-0000-0000-0000-000000000007",
        "n": base64.b64encode(NONCE).decode(),
        "person": {"c": who},
        "private": {"c": hidden},
        "res": "I",
        "t": "2026-11-23T12:00:00.000000Z",
        "v": 1,
    }
    assert rfc8785.dumps(json.loads(leaf(made))) == leaf(made)


def test_leaf_of_a_flow_keeps_record_and_attribution_apart() -> None:
    found = json.loads(flow_leaf(flow()))
    assert (found["seq"], found["record"]) == (str(2**60), {"bytes_up": str(2**53)})
    assert found["who"] == {
        "device_id": "dv_1",
        "c": commitment(SALT, "who", {"person_id": "us_1"}),
    }


def test_the_same_moment_gives_the_same_leaf() -> None:
    east = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert leaf(event(at=east)) == leaf(event())


CHANGES: list[dict[str, Any]] = [
    {"uid": UUID(int=8)},
    {"at": AT + timedelta(microseconds=1)},
    {"code": "DV009"},
    {"outcome": "W"},
    {"actor_label": "x"},
    {"actor_address": "x"},
    {"actor_role": "x"},
    {"person_id": "us_2"},
    {"device_id": "x"},
    {"device_label": "x"},
    {"gateway_label": "x"},
    {"application_id": "x"},
    {"target_label": "x"},
    {"request_id": "x"},
    {"reason": "x"},
    {"details": {"a": 1}},
    {"details": {"generation": 1}},
    {"nonce": bytes(16)},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_every_column_is_in_the_leaf(change: dict[str, Any]) -> None:
    assert leaf(event(**change)) != leaf(event())


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_changed_row_does_not_agree_with_its_leaf(change: dict[str, Any]) -> None:
    salts = {"us_1": SALT}
    assert agrees(leaf(event()), event_row(event()), salts)
    assert not agrees(leaf(event()), event_row(event(**change)), salts)


@pytest.mark.parametrize("empty", ["", {}, {"of": ""}], ids=repr)
@pytest.mark.parametrize("more", [{}, {"of": "somebody"}], ids=["open", "private"])
def test_an_open_detail_that_is_empty_is_no_edit(
    empty: object, more: dict[str, object]
) -> None:
    details = {"generation": empty, **more}
    made = event_shape(event_row(event(details=details)), open_details=OPEN)
    leaf = made.leaf({"us_1": SALT})
    assert agrees(leaf, event_row(event(details=details)), {"us_1": SALT})
    for changed in ({**details, "generation": "7"}, {**details, "of": "mallory"}):
        assert not agrees(leaf, event_row(event(details=changed)), {"us_1": SALT})


def test_a_private_detail_that_is_empty_is_no_edit() -> None:
    row = event_row(event(details={"of": ""}))
    leaf = event_shape(row, open_details=OPEN).leaf({"us_1": SALT})
    assert agrees(leaf, row, {"us_1": SALT})


def test_a_changed_flow_does_not_agree_with_its_leaf() -> None:
    salts = {"us_1": SALT}
    assert agrees(flow_leaf(flow()), flow_row(flow()), salts)
    other = flow_row(flow(attribution={"person_id": "us_2", "device_id": "dv_1"}))
    assert not agrees(flow_leaf(flow()), other, salts)


def test_of_the_forgotten_only_what_is_open_is_compared() -> None:
    blank = event_row(event(person_label="", person_id="us_1"))
    assert agrees(leaf(event()), blank, {"us_1": None})
    assert not agrees(leaf(event()), event_row(event(code="DV009")), {"us_1": None})


def test_a_salt_that_was_emptied_lets_nobody_rewrite_a_row() -> None:
    edited = event_row(event(person_label="Mallory"))
    assert not agrees(leaf(event()), edited, {"us_1": None})


def test_g17_a_name_cannot_be_guessed_without_the_salt() -> None:
    identity = {"person_id": "us_1", "person_label": "Zo\u00eb"}
    open_text = leaf(event()).decode()
    for key in (b"", NONCE, b"us_1", bytes(32)):
        assert commitment(key, "person", identity) not in open_text
    assert commitment(SALT, "person", identity) in open_text


def test_a_stranger_is_committed_to_by_the_nonce() -> None:
    made = event(person_id="", person_label="", actor_address="198.51.100.9")
    expected = commitment(NONCE, "actor", {"actor_address": "198.51.100.9"})
    assert expected in leaf(made).decode()


@pytest.mark.parametrize(
    "details",
    [{"a": "\ud800"}, {"generation": "x" * 65_536}],
    ids=["surrogate", "too_long"],
)
def test_g09_what_has_no_leaf_is_refused(details: dict[str, Any]) -> None:
    with pytest.raises(LeafError):
        leaf(event(details=details))


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (2**53, 2**53 + 1), ("caf\u00e9", "cafe\u0301"), ("1", 1), (True, 1)],
    ids=["fraction", "large", "unicode_form", "text", "truth"],
)
def test_g09_values_that_look_alike_have_leaves_of_their_own(
    one: object, other: object
) -> None:
    assert canonical({"generation": one}) != canonical({"generation": other})


def test_fractions_and_large_numbers_become_text() -> None:
    assert canonical({"a": 1.5, "b": 2**53, "c": True}) == (
        b'{"a":"1.5","b":"9007199254740992","c":true}'
    )


@pytest.mark.skipif(
    not JCS.is_dir(), reason="../shared/vectors is not here (a user's clone)"
)
@pytest.mark.parametrize(
    "name", ["arrays", "french", "structures", "unicode", "values", "weird"]
)
def test_canonical_json_is_that_of_rfc_8785(name: str) -> None:
    value = json.loads((JCS / "input" / f"{name}.json").read_text(encoding="utf-8"))
    assert rfc8785.dumps(value) == (JCS / "output" / f"{name}.json").read_bytes()


@pytest.mark.skipif(
    not JCS.is_dir(), reason="../shared/vectors is not here (a user's clone)"
)
@pytest.mark.parametrize("name", ["french", "unicode", "weird"])
def test_own_canonical_json_is_that_of_rfc_8785(name: str) -> None:
    # The other files hold fractions and empty values, which no leaf keeps.
    value = json.loads((JCS / "input" / f"{name}.json").read_text(encoding="utf-8"))
    assert canonical(value) == (JCS / "output" / f"{name}.json").read_bytes()


# Surrogates as well, which have no canonical form; names beyond the basic plane, which
# UTF-16 orders otherwise; and whatever somebody may escape.
TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=()),
        st.sampled_from(
            '\x00\b\t\n\f\r\x1f "/\\\x7f\u2028\ud7ff\ue000\uffff\U0010ffff'
        ),
    ),
    min_size=1,
)
NUMBERS = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(TEXT, inner, min_size=1, max_size=6)
    ),
)


@given(VALUES)
@settings(max_examples=500)
def test_canonical_json_is_made_quickly_and_exactly(value: object) -> None:
    try:
        expected = rfc8785.dumps(value)  # type: ignore[arg-type]  # JSON it is
    except (rfc8785.CanonicalizationError, UnicodeError):
        with pytest.raises(LeafError):
            canonical(value)
    else:
        assert canonical(value) == expected


@pytest.mark.parametrize("value", [AT, {1, 2}, b"bytes"], ids=repr)
def test_what_json_cannot_say_has_no_canonical_form(value: object) -> None:
    with pytest.raises(LeafError):
        canonical({"a": value})


def test_a_record_that_is_too_long_is_in_the_leaf_as_its_hash() -> None:
    row = flow_row(flow(body={"name": "x" * MAX_LENGTH}))
    leaf = flow_shape(row).leaf({})
    assert len(leaf) <= MAX_LENGTH
    assert list(json.loads(leaf)["record"]) == ["sha256"]
    assert agrees(leaf, row, {})
    row["body"]["name"] = "y" * MAX_LENGTH
    assert not agrees(leaf, row, {})
