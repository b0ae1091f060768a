"""Blanks and comments between tokens: how long they are, how they are laid out.

The rules are those of github.com/tailscale/hujson (see `formatting`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from policies.dialect.hujson import comment_end

_BLANKS: Final = " \t\r\n"
_SPACES: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What Go's unicode.IsSpace calls a space; Python's own list is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStats:
    """How long the first and the last line of something are."""

    first: int
    last: int
    multiline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a place demands of the blanks and comments that stand there."""

    leading_newline: bool = False
    trailing_newline: bool = False
    no_leading_blank: bool = False
    no_trailing_blank: bool = False
    unindent_last: bool = False
    space: bool = False


def trimmed(text: str) -> str:
    """Return the text without spaces at its end."""
    return text.rstrip(_SPACES)


def line_stats(extra: str) -> LineStats:
    """Return how much room blanks and comments take on their lines."""
    first, newline, rest = extra.partition("\n")
    if not newline:
        return LineStats(first=_length(extra), last=_length(extra), multiline=False)
    last = rest.rpartition("\n")[2]
    return LineStats(first=_length(first), last=_length(last), multiline=True)


def laid_out(extra: str, depth: int, layout: Layout) -> str:
    """Return blanks and comments as they stand at this place in canonical style."""
    extra = extra.replace("\r\n", "\n").replace("\n\r", "\n").replace("\r", " ")
    out = _written(extra, depth, "\n" * (layout.leading_newline and "\n" not in extra))
    if layout.trailing_newline and not out.endswith("\n"):
        out += "\n"
    while layout.no_leading_blank and out.startswith("\n\n"):
        out = out[1:]
    while layout.no_trailing_blank and out.endswith("\n\n"):
        out = out[:-1]
    if out.endswith("\n"):
        out += "\t" * (depth - layout.unindent_last)
    elif out:
        out += " "
    return out or " " * layout.space


def _written(extra: str, depth: int, out: str) -> str:
    """Return `out` and, behind it, each paragraph of blanks and comments."""
    at = 0
    while at < len(extra):
        rest = extra[at:]
        blanks = len(rest) - len(rest.lstrip(_BLANKS))
        if blanks:
            out += "\n" * min(rest[:blanks].count("\n"), 2)
            at += blanks
            continue
        end = comment_end(extra, at)
        comment = extra[at:end]
        out += "\t" * depth if out.endswith("\n") else " "
        if comment.startswith("//"):
            out += trimmed(comment)
            end -= 1  # Its newline is a blank.
        elif "\n" in comment:
            out += _block(comment, depth)
        else:
            out += comment
        at = end
    return out


def _block(comment: str, depth: int) -> str:
    """Return a block comment of several lines, indented as a whole."""
    lines = [trimmed(line) for line in comment.split("\n")]
    common = next(line for line in lines[1:] if line)
    for index, line in enumerate(lines[1:], 1):
        if line.lstrip(_BLANKS) == "*/":
            lines[index] = common[: _indent(common)] + "*/"
        elif line:
            common = _common(common, line)
    indent = _indent(common)
    starred = all(lines) and common[indent : indent + 1] == "*"
    lead = "\t" * depth + " " * starred
    shifted = [lead + line[indent:] if line else "" for line in lines[1:]]
    return "\n".join([lines[0], *shifted])


def _indent(line: str) -> int:
    """Return how many blanks a line begins with."""
    return len(line) - len(line.lstrip(_BLANKS))


def _common(common: str, line: str) -> str:
    """Return the part of `common` that `line` does not contradict."""
    for index, (left, right) in enumerate(zip(common, line, strict=False)):
        if left != right:
            return common[:index]
    return common


def _length(line: str) -> int:
    """Return about how many bytes the comments on one line take."""
    total = 0
    rest = line.lstrip(_BLANKS)
    while rest:
        end = comment_end(rest, 0)
        if end == 0:
            break  # The tail of a comment that began on an earlier line.
        if rest.startswith("//") or end < 0:
            return total + 1 + len(rest.encode())
        total += 1 + len(rest[:end].encode())
        rest = rest[end:].lstrip(_BLANKS)
    return total + (total > 0)
