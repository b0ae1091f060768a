"""The canonical style of a policy file: what github.com/tailscale/hujson would write.

GitOps tools hash their own formatting of the file and compare it with the portal's
ETag, so the rules here are that library's, down to what looks arbitrary: tabs, at most
one blank line, an object or list either wholly on one line or wholly spread out (when
it was written so, or is wider than 80 bytes), values aligned, a trailing comma only in
files that already are more than JSON. Comments stay where they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from policies.dialect.comments import Layout, laid_out, line_stats, trimmed
from policies.dialect.comments import LineStats as Stats
from policies.dialect.hujson import Kind, Value, parse

WIDTH: Final = 80
"""Beyond this many bytes, a line is spread over several."""


def fmt(source: bytes | str) -> str:
    """Return the document in canonical style, comments kept.

    Formatting what is formatted changes nothing.

    Raises:
        SyntaxRefusedError: the text is not HuJSON.
    """
    root = parse(source).value
    spread: set[int] = set()
    standard = _is_standard(root)
    root.before = laid_out(root.before, 0, Layout()).lstrip(" \t\r\n")
    _normalise(root)
    _measure(root, spread)
    _Writer(spread, standard=standard).arrange(root, 0)
    _align(root)
    root.after = trimmed(laid_out(root.after, 0, Layout())) + "\n"
    return packed(root)


def packed(value: Value) -> str:
    """Return the text of a syntax tree."""
    return "".join(_pieces(value))


def _pieces(value: Value) -> Iterator[str]:
    """Yield the text of a value, token by token."""
    yield value.before
    if value.kind is Kind.OBJECT:
        yield "{"
        for index, item in enumerate(value.items):
            yield from _pieces(item)
            yield ":" if index % 2 == 0 else _separator(value, index)
        yield value.inner + "}"
    elif value.kind is Kind.ARRAY:
        yield "["
        for index, item in enumerate(value.items):
            yield from _pieces(item)
            yield _separator(value, index)
        yield value.inner + "]"
    else:
        yield value.raw
    yield value.after


def _separator(value: Value, index: int) -> str:
    """Return the comma after an item; the last one has none unless asked for."""
    return "," if index + 1 < len(value.items) or value.comma else ""


def _is_composite(value: Value) -> bool:
    """Return whether a value contains values."""
    return value.kind in {Kind.OBJECT, Kind.ARRAY}


def _has_comment(extra: str) -> bool:
    """Return whether there is more than blanks."""
    return "/" in extra


def _is_standard(value: Value) -> bool:
    """Return whether a value is plain JSON: no comment, no trailing comma."""
    extras = value.before + value.after + value.inner
    return not (_has_comment(extras) or value.comma) and all(
        _is_standard(item) for item in value
    )


def _normalise(value: Value) -> None:
    """Drop blanks before colons and commas, and needless escapes."""
    if value.kind is Kind.STRING and "\\" in value.raw:
        # RFC 8785 §3.2.2.2, which is also how Python escapes.
        value.raw = json.dumps(value.text, ensure_ascii=False)
    if not value.items and not _has_comment(value.inner):
        value.inner = ""
    for item in value:
        if not _has_comment(item.after):
            item.after = ""
            if item is value.items[-1]:
                value.comma = False
        _normalise(item)


@dataclass(slots=True)
class _Ruler:
    """Measures the lines that a value would take if nothing were spread out."""

    length: int
    lengths: list[int]

    def add(self, stats: Stats) -> None:
        """Go on behind something that may itself take several lines."""
        self.length += stats.first
        if stats.multiline:
            self.lengths.append(self.length)
            self.length = stats.last


def _measure(value: Value, spread: set[int]) -> Stats:
    """Return the lines a value takes; note in `spread` what must be spread out."""
    if not _is_composite(value):
        width = len(value.raw.encode())
        return Stats(first=width, last=width, multiline=False)
    ruler = _Ruler(length=1, lengths=[])
    wide = False
    for index, item in enumerate(value):
        is_name = value.kind is Kind.OBJECT and index % 2 == 0
        if value.kind is Kind.ARRAY or is_name:
            wide = wide or "\n" in item.before
        ruler.add(line_stats(item.before))
        ruler.add(_measure(item, spread))
        ruler.add(line_stats(item.after))
        ruler.length += 2
    if value.items:
        wide = wide or "\n" in value.items[-1].after
    wide = wide or "\n" in value.inner
    lengths = [*ruler.lengths, ruler.length + 1]
    if wide or max(lengths) > WIDTH:
        spread.add(id(value))
        head = line_stats(value.items[0].before if value.items else value.inner)
        return Stats(first=1 + head.first, last=1, multiline=True)
    return Stats(first=lengths[0], last=lengths[-1], multiline=len(lengths) > 1)


_INSIDE: Final = Layout(no_leading_blank=True, no_trailing_blank=True)


class _Writer:
    """Sets the blanks of a tree, given what must be spread out."""

    def __init__(self, spread: set[int], *, standard: bool) -> None:
        """Keep what holds for the whole document."""
        self.spread = spread
        self.standard = standard

    def arrange(self, value: Value, depth: int) -> None:
        """Set the blanks inside a value."""
        if not _is_composite(value):
            return
        wide = id(value) in self.spread
        if value.kind is Kind.OBJECT:
            self.arrange_members(value, depth, wide=wide)
        else:
            for index, item in enumerate(value):
                item.before = laid_out(
                    item.before, depth + 1, _leading(index, wide=wide)
                )
                self.arrange(item, depth + wide)
                item.after = laid_out(item.after, depth + 2, _INSIDE)
        closing = Layout(
            trailing_newline=wide,
            no_leading_blank=not value.items,
            no_trailing_blank=True,
            unindent_last=True,
        )
        value.inner = laid_out(value.inner, depth + 1, closing)
        self.set_comma(value, wide=wide)

    def arrange_members(self, value: Value, depth: int, *, wide: bool) -> None:
        """Set the blanks of an object's members."""
        for index, (name, item) in enumerate(value.members):
            name.before = laid_out(name.before, depth + 1, _leading(index, wide=wide))
            name.after = laid_out(name.after, depth + 2, _INSIDE)
            colon = Layout(no_leading_blank=True, no_trailing_blank=True, space=True)
            item.before = laid_out(item.before, depth + 2, colon)
            is_apart = "\n" in name.after or "\n" in item.before
            self.arrange(item, depth + wide + is_apart)
            item.after = laid_out(item.after, depth + 2, _INSIDE)

    def set_comma(self, value: Value, *, wide: bool) -> None:
        """Set or drop the comma after the last item."""
        if not value.items:
            return
        last = value.items[-1]
        if not wide and not (last.after and value.inner):
            if value.comma:
                value.inner, last.after = last.after + value.inner, ""
            value.comma = False
        elif wide and not self.standard:
            value.comma = True


def _leading(index: int, *, wide: bool) -> Layout:
    """Return the layout before an item."""
    return Layout(leading_newline=wide, no_leading_blank=index == 0, space=index > 0)


def _has_newline(value: Value) -> bool:
    """Return whether the items of a value stand on several lines."""
    return any(
        "\n" in item.before or "\n" in item.after or _has_newline(item)
        for item in value
    )


def _align(value: Value) -> None:
    """Align the values of neighbouring members that stand on a line each."""
    if value.kind is Kind.OBJECT:
        rows: list[tuple[Value, int]] = []
        for name, item in value.members:
            breaks = (name.after, item.before, item.after)
            alone = any("\n" in extra for extra in breaks) or _has_newline(item)
            if alone or name.before.count("\n") != 1:
                _pad(rows)
                rows = []
            if not alone and "\n" in name.before:
                head = name.raw + name.after + ":" + item.before
                rows.append((item, len(head.encode())))
        _pad(rows)
    for item in value:
        _align(item)


def _pad(rows: list[tuple[Value, int]]) -> None:
    """Put the values of these rows in one column."""
    widest = max((width for _, width in rows), default=0)
    for item, width in rows:
        item.before += " " * (widest - width)
