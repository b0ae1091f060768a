"""Typed access to a parsed file; what has another shape is refused with its place."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn

from policies.dialect.errors import PolicyError, Position, problem
from policies.dialect.hujson import Document, Kind, Value


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a document that knows where it stands."""

    document: Document
    value: Value

    @property
    def position(self) -> Position:
        """Where the value begins."""
        return self.document.position(self.value)

    def refuse(self, text: str) -> NoReturn:
        """Raise an error at this place."""
        raise PolicyError([problem(self.position, text)])

    def need(self, kind: Kind) -> None:
        """Refuse a value of another kind."""
        if self.value.kind is not kind:
            self.refuse(f"expected {kind.value}, found {self.value.kind.value}")

    def fields(self, names: Iterable[str]) -> Mapping[str, Node]:
        """Return the members of an object with a fixed set of names.

        Case does not matter in these names, as in the reference readers; a name that is
        unknown, or stands twice in another case, is refused.
        """
        known = {name.casefold(): name for name in names}
        found: dict[str, Node] = {}
        for key, node in self.entries():
            name = known.get(key.text.casefold())
            if name is None:
                key.refuse(f"unknown field {key.value.raw}")
            if name in found:
                key.refuse(f"the field {key.value.raw} stands twice")
            found[name] = node
        return found

    def entries(self) -> Sequence[tuple[Node, Node]]:
        """Return the keys and values of an object whose names are free."""
        self.need(Kind.OBJECT)
        return [
            (Node(self.document, name), Node(self.document, item))
            for name, item in self.value.members
        ]

    def items(self) -> Sequence[Node]:
        """Return the elements of a list."""
        self.need(Kind.ARRAY)
        return [Node(self.document, item) for item in self.value.items]

    @property
    def text(self) -> str:
        """The text; control characters are nobody's name (attack D01)."""
        self.need(Kind.STRING)
        found = self.value.text
        if any(unicodedata.category(character) == "Cc" for character in found):
            self.refuse("text with control characters")
        return found

    @property
    def boolean(self) -> bool:
        """True or false."""
        self.need(Kind.BOOLEAN)
        return self.value.raw == "true"

    @property
    def scalar(self) -> str | bool | Decimal:
        """Text, a number, true or false."""
        match self.value.kind:
            case Kind.NUMBER:
                return self.value.number
            case Kind.BOOLEAN:
                return self.boolean
            case _:
                return self.text

    def texts(self) -> Sequence[Node]:
        """Return the elements of a list of text."""
        items = self.items()
        for item in items:
            item.need(Kind.STRING)
        return items
