"""HuJSON: JSON with comments and trailing commas, read into an exact syntax tree.

The tree keeps every comment, blank and position, so the formatter can write the
document back and every later error can say line and column. The grammar is that of
github.com/tailscale/hujson: RFC 8259 plus `//` comments (ended by a newline), `/* */`
comments and one comma after the last member or element.

What this reader refuses beyond the grammar: text over `MAX_BYTES`, nesting over
`MAX_DEPTH`, more than `MAX_VALUES` values (memory follows from these), bytes that are
not UTF-8, the character U+0000 (no database holds it), escapes that are half a
surrogate pair, and a key that stands twice.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Final, NoReturn

from policies.dialect.errors import Position, SyntaxRefusedError, problem

MAX_BYTES: Final = 4 * 2**20
MAX_DEPTH: Final = 100
MAX_VALUES: Final = 250_000

_BLANK: Final = re.compile(r"[ \t\r\n]*")
_WORD: Final = re.compile(r"[-+.A-Za-z0-9]*")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\.)*+"')
_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\.')
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LONGEST_WORD: Final = 100


class Kind(Enum):
    """What a value is."""

    OBJECT = "an object"
    ARRAY = "a list"
    STRING = "text"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    NULL = "null"


@dataclass(slots=True)
class Value:
    """A value with what surrounds it.

    `before` and `after` are blanks and comments: after the previous token, and up to
    the next one. Objects hold names and values in turn in `items`, lists their
    elements. `inner` stands before the closing bracket, behind the last comma if
    there is a `comma` after the last item. `raw` is a literal as written.
    """

    kind: Kind
    offset: int
    raw: str = ""
    before: str = ""
    after: str = ""
    inner: str = ""
    comma: bool = False
    items: list[Value] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text that a string stands for."""
        found: str = json.loads(self.raw)
        return found

    @property
    def number(self) -> Decimal:
        """A number, exactly as written."""
        return Decimal(self.raw)

    @property
    def members(self) -> Iterator[tuple[Value, Value]]:
        """The names and values of an object."""
        return zip(self.items[::2], self.items[1::2], strict=True)

    def __iter__(self) -> Iterator[Value]:
        """Return what this value contains, names included."""
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed text: its value and where its lines begin."""

    value: Value
    lines: tuple[int, ...]

    def position(self, value: Value) -> Position:
        """Return where a value begins."""
        return _position(self.lines, value.offset)


def parse(source: bytes | str) -> Document:
    """Return the syntax tree of a HuJSON text.

    Raises:
        SyntaxRefusedError: the text is not HuJSON or goes beyond the limits above.
    """
    text = _decoded(source)
    parser = _Parser(text)
    return Document(value=parser.document(), lines=parser.lines)


def plain(value: Value) -> object:
    """Return what a value stands for as Python's own types; numbers as `Decimal`."""
    match value.kind:
        case Kind.OBJECT:
            return {name.text: plain(item) for name, item in value.members}
        case Kind.ARRAY:
            return [plain(item) for item in value.items]
        case Kind.STRING:
            return value.text
        case Kind.NUMBER:
            return value.number
        case Kind.BOOLEAN:
            return value.raw == "true"
        case _:
            return None


def comment_end(text: str, start: int) -> int:
    """Return where the comment at `start` ends: 0 if there is none, -1 if never.

    A line comment includes its newline.
    """
    for opening, closing in (("//", "\n"), ("/*", "*/")):
        if text.startswith(opening, start):
            end = text.find(closing, start + len(opening))
            return -1 if end < 0 else end + len(closing)
    return 0


def _decoded(source: bytes | str) -> str:
    """Return the text, unless it is too long or not UTF-8."""
    start = Position(line=1, column=1)
    if len(source) > MAX_BYTES:
        raise SyntaxRefusedError(
            [problem(start, f"the policy is longer than {MAX_BYTES} bytes")]
        )
    try:
        text = source if isinstance(source, str) else source.decode()
    except UnicodeDecodeError as exc:
        head = exc.object[: exc.start].decode()
        raise SyntaxRefusedError(
            [problem(_position(_lines(head), len(head)), "invalid UTF-8")]
        ) from exc
    if found := _SURROGATE.search(text):
        raise SyntaxRefusedError(
            [problem(_position(_lines(text), found.start()), "invalid UTF-8")]
        )
    if (nul := text.find("\x00")) >= 0:
        raise SyntaxRefusedError(
            [problem(_position(_lines(text), nul), "the character U+0000")]
        )
    return text


def _lines(text: str) -> tuple[int, ...]:
    """Return the offsets at which lines begin."""
    return (0, *(found.end() for found in re.finditer("\n", text)))


def _position(lines: tuple[int, ...], offset: int) -> Position:
    """Return the line and column of an offset."""
    line = bisect_right(lines, offset)
    return Position(line=line, column=offset - lines[line - 1] + 1)


class _Parser:
    """One pass over the text; recursion is bounded by `MAX_DEPTH`."""

    def __init__(self, text: str) -> None:
        """Start at the first character."""
        self.text = text
        self.lines = _lines(text)
        self.at = 0
        self.depth = 0
        self.count = 0

    def document(self) -> Value:
        """Return the one value of the text."""
        value = self.value()
        if self.at < len(self.text):
            self.refuse(f"invalid character {self.here} after top-level value")
        return value

    def value(self, before: str | None = None) -> Value:
        """Return the next value with the blanks and comments around it."""
        before = self.extra() if before is None else before
        start = self.at
        self.count += 1
        if self.count > MAX_VALUES:
            self.refuse(f"the policy has more than {MAX_VALUES} values")
        match self.text[start : start + 1]:
            case "{":
                value = self.composite(Kind.OBJECT, "}")
            case "[":
                value = self.composite(Kind.ARRAY, "]")
            case '"':
                value = self.string()
            case _:
                value = self.word()
        value.before = before
        value.after = self.extra()
        return value

    def composite(self, kind: Kind, closing: str) -> Value:
        """Return an object or a list."""
        value = Value(kind, self.at)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(f"values are nested more than {MAX_DEPTH} deep")
        self.at += 1
        names: set[str] = set()
        before = self.extra()
        while not self.text.startswith(closing, self.at):
            if kind is Kind.OBJECT:
                value.items.append(self.name(before, names))
                before = self.extra()
            value.items.append(self.value(before))
            if self.text.startswith(closing, self.at):
                before, value.items[-1].after = value.items[-1].after, ""
                value.comma = False
                break
            self.expect(
                ",",
                f"after {kind.value.split()[-1]} value (expecting ',' or '{closing}')",
            )
            value.comma = True
            before = self.extra()
        value.inner = before
        self.at += 1
        self.depth -= 1
        return value

    def name(self, before: str, names: set[str]) -> Value:
        """Return the name of a member, and pass its colon."""
        if self.at < len(self.text) and self.text[self.at] != '"':
            self.refuse(f"invalid character {self.here} at start of object name")
        name = self.value(before)
        if name.text in names:
            self.refuse(f"the name {name.raw} stands twice", name.offset)
        names.add(name.text)
        self.expect(":", "after object name")
        return name

    def string(self) -> Value:
        """Return a string, its escapes checked."""
        start = self.at
        found = _STRING.match(self.text, start)
        if found is None:
            self.refuse("invalid or unterminated string")
        raw = found.group()
        for escape in _ESCAPE.finditer(raw) if "\\" in raw else ():
            if len(escape.group()) == 2 and escape.group()[1] not in '"\\/bfnrt':  # noqa: PLR2004 - a backslash and one character
                self.refuse("invalid escape in string", start + escape.start())
        self.at = found.end()
        value = Value(Kind.STRING, start, raw)
        if "\\" in raw and _SURROGATE.search(value.text):
            self.refuse("a string holds half of a surrogate pair", start)
        return value

    def word(self) -> Value:
        """Return a number, true, false or null."""
        start = self.at
        found = _WORD.match(self.text, start)
        raw = found.group() if found else ""
        kinds = {"true": Kind.BOOLEAN, "false": Kind.BOOLEAN, "null": Kind.NULL}
        if not raw:
            self.refuse(f"invalid character {self.here} at start of value")
        if len(raw) > _LONGEST_WORD:
            self.refuse(f"a literal is longer than {_LONGEST_WORD} characters")
        if raw not in kinds and not _NUMBER.fullmatch(raw):
            self.refuse(f"invalid literal: {raw}")
        self.at = start + len(raw)
        return Value(kinds.get(raw, Kind.NUMBER), start, raw)

    def extra(self) -> str:
        """Return the blanks and comments from here to the next token."""
        start = self.at
        while True:
            blank = _BLANK.match(self.text, self.at)
            self.at = blank.end() if blank else self.at
            end = comment_end(self.text, self.at)
            if end < 0:
                self.refuse("unterminated comment (// ends with a newline)")
            if end == 0:
                return self.text[start : self.at]
            self.at = end

    def expect(self, token: str, where: str) -> None:
        """Pass one token."""
        if not self.text.startswith(token, self.at):
            self.refuse(f"invalid character {self.here} {where}")
        self.at += 1

    @property
    def here(self) -> str:
        """The character at hand, quoted for an error."""
        return repr(self.text[self.at]) if self.at < len(self.text) else "end of file"

    def refuse(self, text: str, offset: int | None = None) -> NoReturn:
        """Raise an error that says where."""
        at = self.at if offset is None else offset
        raise SyntaxRefusedError([problem(_position(self.lines, at), text)])
