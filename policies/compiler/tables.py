"""A ruleset as values: named sets and maps, their elements, chains, rules.

Texts are the canonical spellings that the kernel's listing is read back into (see
`readback`): a single address or `first-last`, never a prefix; protocols by number (a
gateway may lack /etc/protocols); `goto app_3`; rules without counters' values.
Everything is sorted, except the rules of a chain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Final, NamedTuple

from policies.compiler.errors import InvalidValueError

_INTERFACE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
"""IFNAMSIZ is 16 with its NUL; a table's name follows nft(8)'s identifiers."""


OPENED: Final = "opened"
"""How fast each device opens flows."""

CROWDED: Final = "crowded"
"""The devices that opened too many."""

DYNAMIC: Final = frozenset({OPENED, CROWDED})
"""Sets that packets fill: declared here, their elements no part of a ruleset."""


class Element(NamedTuple):
    """A key, its data in a map (else empty), and its absolute end (or `NEVER`).

    A named tuple, because there are a million of them: it is made in half the time
    that a frozen dataclass takes, which sets its fields one by one.
    """

    key: str
    data: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSet:
    """A set, or a map when `data_type` is not empty. `flags` are sorted."""

    name: str
    key_type: str
    data_type: str
    flags: tuple[str, ...]
    elements: tuple[Element, ...]

    @property
    def kind(self) -> str:
        """The word nft(8) uses to declare it."""
        return "map" if self.data_type else "set"

    @property
    def declaration(self) -> str:
        """Its type and flags, as nft(8) takes them."""
        kinds = (
            f"{self.key_type} : {self.data_type}" if self.data_type else self.key_type
        )
        flags = f" flags {','.join(self.flags)};" if self.flags else ""
        return f"type {kinds};{flags}"

    @property
    def is_timed(self) -> bool:
        """Whether the kernel may end its elements."""
        return "timeout" in self.flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain; `hook` is empty unless it is a base chain."""

    name: str
    hook: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """All of one table.

    `foreign` are (kind, name) of objects that are none of ours; only a listing has
    any. `tolerance` says how far its times may be off: a listing counts in seconds.
    The elements of leases are the agent's, those of `DYNAMIC` sets the packets', and
    neither are part of this.
    """

    interface: str
    sets: tuple[NamedSet, ...]
    chains: tuple[Chain, ...]
    foreign: tuple[tuple[str, str], ...] = ()
    tolerance: timedelta = timedelta(0)


def table_name(interface: str) -> str:
    """Return the name of the interface's table.

    Raises:
        InvalidValueError: the interface's name is no identifier of nft(8).
    """
    if _INTERFACE.fullmatch(interface) is None:
        msg = f"{interface!r} cannot name an interface here"
        raise InvalidValueError(msg)
    return f"peerage_{interface}"


def named_set(
    name: str,
    key_type: str,
    *flags: str,
    data_type: str = "",
    elements: Iterable[Element] = (),
) -> NamedSet:
    """Return a set or map with everything in its place."""
    return NamedSet(
        name=name,
        key_type=key_type,
        data_type=data_type,
        flags=tuple(sorted(flags)),
        elements=sorted_elements(elements),
    )


def sorted_elements(elements: Iterable[Element]) -> tuple[Element, ...]:
    """Return elements by their keys, of which a set has each once."""
    return tuple(sorted(elements, key=attrgetter("key")))
