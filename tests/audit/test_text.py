"""Nothing invisible reaches a viewer, a terminal or a log line. No database."""

from __future__ import annotations

import pytest

from audit.text import first_invisible, visible, visible_json


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Zoë Müller", "Zoë Müller"),
        ("李 🦊", "李 🦊"),
        ("a\r\nb", r"a\x0d\x0ab"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x00\x7f\x85", r"\x00\x7f\x85"),
        ("exe\u202egpj", r"exe\u202egpj"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("\u2028", r"\u2028"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("", ""),
    ],
)
def test_invisible_characters_become_escapes(text: str, seen: str) -> None:
    assert visible(text) == seen
    assert visible(seen) == seen


def test_values_that_are_not_text_stay_as_they_are() -> None:
    value = {"a": [1, None, True, {"b\n": ("x\t",)}]}
    assert visible_json(value) == {"a": [1, None, True, {r"b\x0a": [r"x\x09"]}]}


@pytest.mark.parametrize(
    ("text", "found"),
    [("Zoë 🦊", ""), ("", ""), ("a\nb\x00", "\n"), ("\u200d\u202e", "\u202e")],
)
def test_first_invisible_character_is_the_one_that_was_not_allowed(
    text: str, found: str
) -> None:
    assert first_invisible(text, allowed="\u200d") == found
