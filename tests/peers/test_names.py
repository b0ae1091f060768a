"""Names and reasons. No database."""

from __future__ import annotations

import pytest

from peers.errors import InvalidNameError
from peers.names import plain_reason, valid_name, valid_platform


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("laptop", "laptop", id="plain"),
        pytest.param("  laptop ", "laptop", id="blanks at the ends"),
        pytest.param("Zoe\u0308s Mac", "Zo\u00ebs Mac", id="decomposed"),
        pytest.param("携帯 📱", "携帯 📱", id="other scripts"),
        pytest.param("x" * 64, "x" * 64, id="longest"),
        pytest.param("a" + " " * 80, "a", id="long only by blanks"),
    ],
)
def test_a_visible_line_is_a_name(text: str, name: str) -> None:
    assert valid_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("   ", id="blank"),
        pytest.param("x" * 65, id="too long"),
        pytest.param("x\nPostUp = touch pwned", id="another wg-quick line"),
        pytest.param("laptop\n", id="line feed at the end"),
        pytest.param("a\rb", id="carriage return"),
        pytest.param("a\tb", id="tabulator"),
        pytest.param("a\x00b", id="NUL"),
        pytest.param("a\x1b[2Jb", id="escape sequence"),
        pytest.param("a\x85b", id="next line"),
        pytest.param("a\u2028b", id="line separator"),
        pytest.param("a\u202eb", id="right-to-left override"),
        pytest.param("a\u2066b", id="isolate"),
        pytest.param("a\u200bb", id="zero width space"),
        pytest.param("\ufefflaptop", id="byte order mark"),
        pytest.param("a\ud800b", id="surrogate"),
        pytest.param("a\ue000b", id="private use"),
    ],
)
def test_what_is_no_visible_line_is_refused(text: str) -> None:
    with pytest.raises(InvalidNameError):
        valid_name(text)


def test_the_refusal_names_the_character() -> None:
    with pytest.raises(InvalidNameError, match=r"U\+202E"):
        valid_name("a\u202eb")


def test_a_platform_may_be_empty_but_not_long_or_invisible() -> None:
    assert valid_platform("") == ""
    assert valid_platform(" linux ") == "linux"
    for text in ("x" * 33, "lin\nux"):
        with pytest.raises(InvalidNameError):
            valid_platform(text)


def test_a_reason_is_made_plain_and_never_refused() -> None:
    assert plain_reason("left\nthe\u202e company ") == "left the  company"
    assert len(plain_reason("x" * 999)) == 255
