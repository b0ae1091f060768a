"""Rules of the canonical style."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.dialect.formatting import fmt, packed
from policies.dialect.hujson import parse, plain

blanks = st.text(alphabet=" \t\r\n", max_size=4)
words = st.text(alphabet="ab*/ \t😊", max_size=6).filter(lambda text: "*/" not in text)
comments = st.one_of(
    blanks,
    blanks,
    st.tuples(blanks, words, blanks).map(lambda t: f"{t[0]}//{t[1]}\n{t[2]}"),
    st.tuples(blanks, words, blanks).map(lambda t: f"{t[0]}/*{t[1]} */{t[2]}"),
    st.tuples(blanks, words, blanks, words).map(
        lambda t: f"/*{t[1]}\n{t[2]}{t[3]} \n*/{t[0]}"
    ),
)
texts = st.text(max_size=30).map(json.dumps)
scalars = st.one_of(texts, st.sampled_from(["1", "-0.5e3", "true", "null"]))


def _listed(items: list[str], extras: list[str], brackets: str, *, comma: bool) -> str:
    inner = ",".join(extras[0] + item + extras[1] for item in items)
    tail = "," + extras[2] if comma and items else extras[2]
    return brackets[0] + inner + tail + brackets[1]


def _arrays(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda items, extras, comma: _listed(items, extras, "[]", comma=comma),
        st.lists(children, max_size=4),
        st.lists(comments, min_size=3, max_size=3),
        st.booleans(),
    )


def _objects(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda items, extras, comma: _listed(
            [f"{json.dumps(k)}{extras[3]}:{extras[4]}{v}" for k, v in items.items()],
            extras,
            "{}",
            comma=comma,
        ),
        st.dictionaries(st.text(max_size=8), children, max_size=4),
        st.lists(comments, min_size=5, max_size=5),
        st.booleans(),
    )


values = st.recursive(scalars, lambda c: st.one_of(_arrays(c), _objects(c)))
documents = st.tuples(comments, values, comments).map("".join)


@given(documents)
def test_formatting_what_is_formatted_changes_nothing(text: str) -> None:
    assert fmt(fmt(text)) == fmt(text)


@given(documents)
def test_formatting_keeps_the_value(text: str) -> None:
    assert plain(parse(fmt(text)).value) == plain(parse(text).value)


@given(documents)
def test_formatting_keeps_every_comment(text: str) -> None:
    strip = str.maketrans("", "", " \t\r\n,")
    kept = packed(parse(fmt(text)).value).translate(strip)
    for mark in ("//", "/*"):
        assert kept.count(mark) >= text.translate(strip).count(mark) * (
            "\\" not in text
        )


@given(documents)
def test_a_parsed_text_packs_to_itself(text: str) -> None:
    assert packed(parse(text).value) == text


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ('{"b":1,"a":[ ]}', '{"b": 1, "a": []}\n'),
        ('{"a":1,\n"long":2}', '{\n\t"a":    1,\n\t"long": 2\n}\n'),
        ('{\n"a":1,"long":2}', '{\n\t"a":    1,\n\t"long": 2\n}\n'),
        ('{\n"a":1,\n"long":2}', '{\n\t"a":    1,\n\t"long": 2\n}\n'),
        ('{\n"a":1, // why\n"long":2}', '{\n\t"a":    1, // why\n\t"long": 2,\n}\n'),
        ('{\n"a":1,\n\n\n\n"long":2}', '{\n\t"a": 1,\n\n\t"long": 2\n}\n'),
        ('["' + "x" * 80 + '"]', '[\n\t"' + "x" * 80 + '"\n]\n'),
        ('["\\u00e9\\/"]', '["é/"]\n'),
        ("// alone\n\n{}", "// alone\n\n{}\n"),
        ("{/* in */}", "{ /* in */ }\n"),
        ("[1 /* a */,]", "[1 /* a */ ]\n"),
        ("[1 /* a */,/* b */]", "[1 /* a */ , /* b */ ]\n"),
        ("[//\n]", "[ //\n]\n"),
        ("{}/* a */ /* b */", "{} /* a */ /* b */\n"),
        ("\r\n{}\r//c\r\n", "{} //c\n"),
        (
            "/*\n\t\ttwo\n\tone\n\n*/[]",
            "/*\n\ttwo\none\n\n*/ []\n",
        ),
        (
            '{"a": /* from\n to */ 1, "b" // why\n: [\n2]}',
            '{"a": /* from\n\t\tto */ 1, "b" // why\n\t\t: [\n\t\t2,\n\t]}\n',
        ),
        ("[1 /* a */,\n/* b */]", "[\n\t1 /* a */ ,\n\t/* b */\n]\n"),
        ('{\n/*\n * star\n */\n"a":1}', '{\n\t/*\n\t * star\n\t */\n\t"a": 1,\n}\n'),
        ('[\n[1],\n\n{\n"a": [\n]}]', '[\n\t[1],\n\n\t{\n\t\t"a": []\n\t}\n]\n'),
    ],
)
def test_examples_of_the_style(text: str, formatted: str) -> None:
    assert fmt(text) == formatted
