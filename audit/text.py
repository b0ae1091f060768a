r"""Text from outside, made harmless to look at: control characters become visible.

A name with a line feed forges a log line, an escape sequence clears an auditor's
terminal, a bidirectional override turns a file name around, and a NUL stops
PostgreSQL from storing the row at all. They are written as `\x1b` or `\u202e`.
"""

from __future__ import annotations

import unicodedata
from typing import Any

# Control, format (bidirectional marks, zero-width), surrogate, private use, not
# assigned, and the two separators that some viewers break a line at.
ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def first_invisible(text: str, *, allowed: str = "") -> str:
    """Return the first character that `visible` would escape, or nothing.

    Names are refused because of it rather than cleaned: a name that was changed
    behind its author's back would be found under another one later. `allowed` are
    characters that pass all the same.
    """
    return next((char for char in text if char not in allowed and _is_hidden(char)), "")


def visible(text: str) -> str:
    """Return the text with every invisible or line-breaking character escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible_character, text))


def visible_json(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    """Return a JSON value with every string in it made visible, keys included."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(str(key)): visible_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [visible_json(item) for item in value]
    return value


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in ESCAPED_CATEGORIES


def _visible_character(character: str) -> str:
    if not _is_hidden(character):
        return character
    point = ord(character)
    if point <= 0xFF:  # noqa: PLR2004 -- what \x can say
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"  # noqa: PLR2004
