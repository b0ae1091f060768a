"""Names and reasons that people type. Pure.

The rules (attacks D01, D02, D11): one line of visible text in NFC. What the log
would have to escape (control characters, bidirectional overrides, zero-width
characters, line separators) never enters a name. It is refused, not removed: a name
that was changed behind its author's back would be found under another one later.
Only blanks at either end are trimmed.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from audit.text import first_invisible
from peers.errors import InvalidNameError

NAME_LENGTH: Final = 64
PLATFORM_LENGTH: Final = 32
REASON_LENGTH: Final = 255


def valid_name(text: str, *, limit: int = NAME_LENGTH) -> str:
    """Return the name in its one form.

    Raises:
        InvalidNameError: empty, longer than `limit` characters, or with a
            character that cannot be seen.
    """
    cleaned = _visible(text, limit=limit)
    if not cleaned:
        raise InvalidNameError("a name has at least one character")
    return cleaned


def valid_platform(text: str) -> str:
    """Return the platform in its one form; it may be empty.

    Raises:
        InvalidNameError: longer than 32 characters, or with a character that
            cannot be seen.
    """
    return _visible(text, limit=PLATFORM_LENGTH)


def plain_reason(text: str) -> str:
    """Return a reason as one line of at most 255 characters.

    Nothing is refused: a revocation must not fail because of its reason.
    """
    line = "".join(" " if first_invisible(char) else char for char in text)
    return unicodedata.normalize("NFC", line).strip()[:REASON_LENGTH]


def _visible(text: str, *, limit: int) -> str:
    if char := first_invisible(text):
        msg = f"the character U+{ord(char):04X} cannot be part of a name"
        raise InvalidNameError(msg)
    cleaned = unicodedata.normalize("NFC", text).strip()
    if len(cleaned) > limit:
        msg = f"this name has {len(cleaned)} characters; at most {limit} are allowed"
        raise InvalidNameError(msg)
    return cleaned
