"""Rules of the parser."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal

import pytest

from policies.dialect.errors import Position, SyntaxRefusedError
from policies.dialect.hujson import (
    MAX_BYTES,
    MAX_DEPTH,
    Document,
    Kind,
    parse,
    plain,
)


def refused(source: bytes | str) -> str:
    with pytest.raises(SyntaxRefusedError) as caught:
        parse(source)
    return str(caught.value)


def test_comments_and_trailing_commas_are_no_part_of_the_value() -> None:
    text = '{ // one\n "a": [1, /* two */ 2,], "b": {"c": null,},\n}\n'
    assert plain(parse(text).value) == {
        "a": [Decimal(1), Decimal(2)],
        "b": {"c": None},
    }


def test_every_value_knows_its_line_and_column() -> None:
    document: Document = parse('{\n  "ä": [true,\n   "x"]\n}')
    (_, items) = next(document.value.members)
    assert [document.position(item) for item in items] == [
        Position(2, 9),
        Position(3, 4),
    ]


@pytest.mark.parametrize("text", ["1e400", "0.1", "-0", "12345678901234567890123"])
def test_numbers_are_exact(text: str) -> None:
    value = parse(text).value
    assert value.kind is Kind.NUMBER
    assert value.number == Decimal(text)


def test_literals_stand_for_themselves() -> None:
    assert plain(parse('[true, false, null, "a\\u00e9\\ud83d\\ude02"]').value) == [
        True,
        False,
        None,
        "aé😂",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: invalid character end of file at start of value"),
        ("{} x", "line 1, column 4: invalid character 'x' after top-level value"),
        ("[1 2]", "line 1, column 4: invalid character '2' after list value"),
        ('{"a": 1 "b"}', "line 1, column 9: invalid character '\"' after object"),
        ("{a: 1}", "line 1, column 2: invalid character 'a' at start of object"),
        ('{"a" 1}', "line 1, column 6: invalid character '1' after object name"),
        ("{,}", "line 1, column 2: invalid character ',' at start of object name"),
        ("[,]", "line 1, column 2: invalid character ',' at start of value"),
        ("[\n1,,2]", "line 2, column 3: invalid character ',' at start of value"),
        ('{"a": 1,\n "a": 2}', 'line 2, column 2: the name "a" stands twice'),
        ("{", "line 1, column 2: invalid character end of file at start of value"),
        ("[01]", "line 1, column 2: invalid literal: 01"),
        ("[+1]", "line 1, column 2: invalid literal: +1"),
        ("[NaN]", "line 1, column 2: invalid literal: NaN"),
        ("'a'", 'line 1, column 1: invalid character "\'" at start of value'),
        ('"a', "line 1, column 1: invalid or unterminated string"),
        ('"a\nb"', "line 1, column 1: invalid or unterminated string"),
        ('"\\x"', "line 1, column 2: invalid escape in string"),
        ('"\\u12"', "line 1, column 2: invalid escape in string"),
        ('"\\ud800"', "line 1, column 1: a string holds half of a surrogate pair"),
        ("{} // no end", "line 1, column 4: unterminated comment"),
        ("/* no end", "line 1, column 1: unterminated comment"),
        ("\ufeff{}", "line 1, column 1: invalid character '\\ufeff'"),
    ],
)
def test_what_is_not_hujson_is_refused_with_its_place(text: str, message: str) -> None:
    assert refused(text).startswith(message)


def test_bytes_that_are_not_utf8_are_refused_with_their_place() -> None:
    assert refused(b'{\n "\xc3\xa9\xff"}') == "line 2, column 4: invalid UTF-8"


def test_a_lone_surrogate_in_text_is_refused() -> None:
    assert refused('"\ud800"') == "line 1, column 2: invalid UTF-8"


def test_nesting_is_limited() -> None:
    parse("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert "nested" in refused("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def test_numbers_are_limited() -> None:
    assert "longer than" in refused("1" * 101)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 10_000 + "]" * 10_000, id="depth 10,000"),
        pytest.param('{"a":' * 10_000, id="depth 10,000, objects"),
        pytest.param(" " * 10_000_000 + "{}", id="10 MB"),
        pytest.param("[" + "0," * (MAX_BYTES // 2 - 2) + "]", id="many values"),
        pytest.param('"' + "\\n" * (MAX_BYTES // 2 - 2), id="long string"),
        pytest.param("/*" + "*" * (MAX_BYTES - 2), id="long comment"),
    ],
)
def test_what_is_too_much_is_refused_in_bounded_memory(text: str) -> None:
    tracemalloc.start()
    try:
        refused(text)
        assert tracemalloc.get_traced_memory()[1] < 150 * 2**20
    finally:
        tracemalloc.stop()


def test_what_is_too_long_is_refused_before_it_is_read() -> None:
    assert refused(b"\xff" * (MAX_BYTES + 1)).endswith(f"than {MAX_BYTES} bytes")
