"""JSON that two readers could take for two things is refused."""

from __future__ import annotations

import pytest

from audit.tlog.strict_json import strict_json


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a":1,"a":1}', "twice"),
        ('[{"b":{"c":1,"c":2}}]', "twice"),
        ('{"a":1,"\\u0061":2}', "twice"),
        ("NaN", "NaN is not JSON"),
        ("[1,-Infinity]", "-Infinity is not JSON"),
        ("[" * 200_000, "too deep"),
    ],
    ids=["twice", "twice_within", "twice_by_escape", "nan", "infinity", "depth"],
)
def test_g09_what_could_be_read_in_two_ways_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        strict_json(text)


@pytest.mark.parametrize(
    "data", [b'"\xff"', b'"\xc0\xaf"'], ids=["no_text", "overlong"]
)
def test_g09_bytes_that_are_no_utf_8_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="codec can't decode"):
        strict_json(data)


def test_names_that_differ_are_read() -> None:
    assert strict_json('{"a":[1,{"a":null}],"A":true}') == {
        "a": [1, {"a": None}],
        "A": True,
    }
