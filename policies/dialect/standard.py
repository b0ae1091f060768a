"""A policy file as plain JSON, for programs that read nothing more."""

from __future__ import annotations

import re
from typing import Final

from policies.dialect.formatting import packed
from policies.dialect.hujson import Value, parse

_BLACK: Final = re.compile(r"[^ \t\r\n]")


def standardized(source: bytes | str) -> str:
    """Return the document as JSON: comments and last commas become blanks.

    Everything else stays, so lines and columns (in bytes) are those of the source, as
    github.com/tailscale/hujson has it.

    Raises:
        SyntaxRefusedError: the text is not HuJSON.
    """
    root = parse(source).value
    _standardize(root)
    return packed(root)


def _standardize(value: Value) -> None:
    """Blank out in a tree what JSON has no word for."""
    value.before, value.after = _blanked(value.before), _blanked(value.after)
    for item in value:
        _standardize(item)
    value.inner = " " * value.comma + _blanked(value.inner)
    value.comma = False


def _blanked(extra: str) -> str:
    """Return blanks as they are, and blanks for comments."""
    return _BLACK.sub(lambda found: " " * len(found.group().encode()), extra)
