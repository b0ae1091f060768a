"""Conditions that Django has no word for: texts by words, addresses by prefix.

PostgreSQL has functions of its own for them, SQLite those that `know_functions` gives
to each of its connections.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db.models import BooleanField, Func

from audit.search.words import begins_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler

Compiled: TypeAlias = "tuple[str, tuple[Any, ...]]"


class Says(Func):
    """Whether the columns of a row together say all words that are sought."""

    output_field = BooleanField()

    def __init__(self, words: Sequence[str], columns: Sequence[str]) -> None:
        """Seek words as `audit.search.words.words_of` returns them."""
        super().__init__(*columns)
        self.words = tuple(words)

    def as_sqlite(
        self,
        compiler: SQLCompiler,
        connection: BaseDatabaseWrapper,  # noqa: ARG002 -- the same
        **extra_context: Any,  # noqa: ANN401, ARG002 -- Django's signature
    ) -> Compiled:
        """Ask our own function, row by row."""
        return f"audit_says({self._text(compiler)}, %s)", (" ".join(self.words),)

    def as_postgresql(
        self,
        compiler: SQLCompiler,
        connection: BaseDatabaseWrapper,  # noqa: ARG002 -- the same
        **extra_context: Any,  # noqa: ANN401, ARG002 -- Django's signature
    ) -> Compiled:
        """Ask the index, which holds the same expression."""
        # Words hold no quote: it separates.
        sought = " & ".join(f"'{word}':*" for word in self.words)
        return f"audit_words({self._text(compiler)}) @@ %s::tsquery", (sought,)

    def _text(self, compiler: SQLCompiler) -> str:
        columns = [compiler.compile(part)[0] for part in self.get_source_expressions()]
        return " || ' ' || ".join(columns)


class Within(Func):
    """Whether an address lies in a prefix; what is no address lies in none."""

    output_field = BooleanField()

    def __init__(self, column: str, prefix: str, *, is_text: bool = False) -> None:
        """Ask of a column of addresses, or of texts that may be addresses."""
        super().__init__(column)
        self.prefix = prefix
        self.is_text = is_text

    def as_sqlite(
        self,
        compiler: SQLCompiler,
        connection: BaseDatabaseWrapper,  # noqa: ARG002 -- the same
        **extra_context: Any,  # noqa: ANN401, ARG002 -- Django's signature
    ) -> Compiled:
        """Ask our own function, row by row."""
        return f"audit_within({self._column(compiler)}, %s)", (self.prefix,)

    def as_postgresql(
        self,
        compiler: SQLCompiler,
        connection: BaseDatabaseWrapper,  # noqa: ARG002 -- the same
        **extra_context: Any,  # noqa: ANN401, ARG002 -- Django's signature
    ) -> Compiled:
        """Ask the index of the addresses; a prefix is a range of it."""
        column = self._column(compiler)
        if self.is_text:
            return f"audit_within({column}, %s::inet)", (self.prefix,)
        return f"{column} <<= %s::inet", (self.prefix,)

    def _column(self, compiler: SQLCompiler) -> str:
        [column] = self.get_source_expressions()
        return compiler.compile(column)[0]


def know_functions(
    *,
    connection: BaseDatabaseWrapper,
    **_signal: Any,  # noqa: ANN401 -- Django's signature
) -> None:
    """Teach a new connection of SQLite what the conditions above ask."""
    if connection.vendor == "sqlite":
        make = connection.connection.create_function
        make("audit_says", 2, _says, deterministic=True)
        make("audit_within", 2, _within, deterministic=True)


def _says(text: str | None, words: str) -> bool:
    return text is not None and begins_words(words, text)


def _within(address: str | None, prefix: str) -> bool:
    try:
        return ip_address(address or "") in _network(prefix)
    except ValueError:
        return False


@lru_cache(maxsize=32)
def _network(prefix: str) -> IPv4Network | IPv6Network:
    return ip_network(prefix)
