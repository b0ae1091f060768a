"""Rules of canonical JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import cast

import pytest

from policies.compiler.canonical import (
    Json,
    array,
    canonical_json,
    canonical_object,
    expiry_text,
    fields,
    integer,
    integers,
    parse_expiry,
    parse_json,
    parse_time,
    text,
    time_text,
)
from policies.compiler.errors import InvalidValueError, SnapshotFormatError
from policies.compiler.types import NEVER
from tests.policies.compiler.build import NOW


def test_keys_are_sorted_and_nothing_is_escaped_that_need_not_be() -> None:
    value: Json = {"b": [1, True, None, "ä\n\x1f"], "a": {}, "c": (1,)}
    assert (
        canonical_json(value)
        == '{"a":{},"b":[1,true,null,"ä\\n\\u001f"],"c":[1]}'.encode()
    )


@pytest.mark.parametrize(
    "value",
    [1.5, {"ä": 1}, {1: 2}, 2**53, -(2**53), "\ud800", {"a": [{1, 2}]}, b"bytes"],
    ids=repr,
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(SnapshotFormatError):
        canonical_json(cast("Json", value))


def test_an_object_is_what_its_members_make_of_it() -> None:
    assert canonical_object({"b": b"1", "a": b"[]"}) == b'{"a":[],"b":1}'
    with pytest.raises(SnapshotFormatError):
        canonical_object({"ä": b"1"})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b'{"a":1,"a":1}',
        b"1.0",
        b"1e3",
        b"NaN",
        b"Infinity",
        b"9007199254740992",
        b"9" * 5000,
        b"[" * 100_000,
        b"{} x",
    ],
    ids=lambda data: data[:12],
)
def test_what_readers_could_disagree_about_is_refused(data: bytes) -> None:
    with pytest.raises(SnapshotFormatError):
        parse_json(data)


def test_strict_json_is_read() -> None:
    assert parse_json(b' {"a": [9007199254740991]} ') == {"a": [2**53 - 1]}


@pytest.mark.parametrize("value", [{}, {"a": 1, "b": 2}, [], None])
def test_an_object_has_exactly_its_keys(value: object) -> None:
    with pytest.raises(SnapshotFormatError):
        fields(value, frozenset({"a"}))
    assert fields({"a": 1}, frozenset({"a"})) == {"a": 1}


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (integer, "1"),
        (integer, True),
        (integer, None),
        (integer, 1.0),
        (text, 1),
        (text, None),
        (text, ["a"]),
        (integers, [1, True]),
        (integers, [1, "2"]),
        (integers, [None]),
        (integers, 1),
        (array, {}),
        (array, "ab"),
        (array, None),
    ],
)
def test_types_are_not_guessed(read: Callable[[object], object], value: object) -> None:
    with pytest.raises(SnapshotFormatError):
        read(value)


@pytest.mark.parametrize("value", [0, -1, 11])
def test_integers_have_bounds(value: int) -> None:
    with pytest.raises(SnapshotFormatError):
        integer(value, maximum=10)


@pytest.mark.parametrize("listed", [[0, 1], [1, 2**53], [-1]])
def test_each_of_several_integers_has_bounds(listed: list[int]) -> None:
    with pytest.raises(SnapshotFormatError):
        integers(listed)
    assert integers([3, 1, 2**53 - 1]) == (3, 1, 2**53 - 1)
    assert integers([]) == ()


def test_a_time_is_utc_with_microseconds() -> None:
    assert time_text(NOW) == "2026-11-23T12:00:00.000000Z"
    assert parse_time("2026-11-23T12:00:00.000000Z") == NOW


@pytest.mark.parametrize(
    "moment",
    [NOW.replace(tzinfo=None), NOW.astimezone(timezone(timedelta(hours=1)))],
    ids=["naive", "elsewhere"],
)
def test_a_time_that_is_not_utc_is_refused(moment: datetime) -> None:
    with pytest.raises(InvalidValueError):
        time_text(moment)


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-23T12:00:00Z",
        "2026-11-23T12:00:00.000000+00:00",
        "2026-11-23 12:00:00.000000Z",
        "2026-02-30T12:00:00.000000Z",
        "2026-11-23T25:00:00.000000Z",
        "2026-11-23T12:00:00.000000Z\n",
        "never",
        "",
    ],
)
def test_a_time_has_one_spelling(written: str) -> None:
    with pytest.raises(SnapshotFormatError):
        parse_time(written)


def test_never_is_said_by_name() -> None:
    assert expiry_text(NEVER) == "never"
    assert parse_expiry("never") == NEVER
    assert parse_expiry(expiry_text(NOW)) == NOW
    for absent in (None, "", 0):
        with pytest.raises(SnapshotFormatError):
            parse_expiry(absent)
