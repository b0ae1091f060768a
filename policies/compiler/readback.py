"""What a kernel holds, read from `nft -j list table inet peerage_<interface>`.

The result is spelled as `nftables.ruleset` spells it, so the two can be compared and
a transaction computed between them. An expression this module does not know is kept
as JSON: it differs from every rule of ours and so shows as drift, whatever it means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from policies.compiler.canonical import array
from policies.compiler.errors import SnapshotFormatError
from policies.compiler.leases import is_lease
from policies.compiler.rules import PROTOCOLS, expression_text, rule_text
from policies.compiler.tables import (
    DYNAMIC,
    Chain,
    Element,
    NamedSet,
    Ruleset,
    sorted_elements,
)
from policies.compiler.types import NEVER

_TOLERANCE: Final = timedelta(seconds=2)
"""A listing counts whole seconds, and time passes while it is made."""


def ruleset_from_nft(listing: object, *, interface: str, now: datetime) -> Ruleset:
    """Return the table that a parsed listing describes, whole or its list alone.

    `now` is the moment of the listing: what is left of an element's time counts from
    there. The elements of leases and of `DYNAMIC` sets are left out, as in `ruleset`.

    Raises:
        SnapshotFormatError: not a listing of libnftables' JSON.
    """
    sets: list[NamedSet] = []
    hooks: dict[str, str] = {}
    rules: dict[str, list[str]] = {}
    foreign: list[tuple[str, str]] = []
    for kind, item in _objects(listing):
        match kind:
            case "metainfo" | "table":
                continue
            case "set" | "map":
                sets.append(_named_set(kind, item, now=now))
            case "chain":
                hooks[_text(item, "name")] = _hook(item)
            case "rule":
                written = rule_text(array(item.get("expr")))
                rules.setdefault(_text(item, "chain"), []).append(written)
            case _:
                foreign.append((kind, _text(item, "name")))
    return Ruleset(
        interface=interface,
        sets=tuple(sorted(sets, key=lambda named: named.name)),
        chains=tuple(
            Chain(name=name, hook=hook, rules=tuple(rules.get(name, ())))
            for name, hook in sorted(hooks.items())
        ),
        foreign=tuple(sorted(foreign)),
        tolerance=_TOLERANCE,
    )


def _objects(listing: object) -> Iterable[tuple[str, Mapping[str, object]]]:
    """Return the (kind, object) pairs of a listing."""
    entries = listing.get("nftables") if isinstance(listing, Mapping) else listing
    for entry in array(entries):
        if not isinstance(entry, Mapping) or len(entry) != 1:
            msg = "a listing holds objects with one key each"
            raise SnapshotFormatError(msg)
        for kind, item in entry.items():
            if not isinstance(item, Mapping):
                msg = f"the {kind} in a listing is not an object"
                raise SnapshotFormatError(msg)
            yield kind, item


def _named_set(kind: str, item: Mapping[str, object], *, now: datetime) -> NamedSet:
    """Return a set or a map with its elements."""
    name = _text(item, "name")
    key_type = " . ".join(_words(item.get("type")))
    is_ours = not is_lease(name) and name not in DYNAMIC
    entries = array(item.get("elem", [])) if is_ours else ()
    elements = (_element(kind, entry, now=now) for entry in entries)
    if key_type == "ifname":
        elements = (e._replace(key=f'"{e.key}"') for e in elements)
    return NamedSet(
        name=name,
        key_type=key_type,
        data_type=" . ".join(_words(item.get("map"))) if kind == "map" else "",
        flags=_flags(name, _words(item.get("flags", []))),
        elements=sorted_elements(elements),
    )


def _flags(name: str, listed: Sequence[str]) -> tuple[str, ...]:
    """Return a set's flags; versions of nft do not list that packets may fill it."""
    return tuple(sorted({*listed, "dynamic"} if name in DYNAMIC else listed))


def _element(kind: str, entry: object, *, now: datetime) -> Element:
    """Return one element: a key, or a pair of key and data."""
    data = ""
    if kind == "map":
        pair = array(entry)
        if len(pair) != 2:  # noqa: PLR2004 - key and data
            msg = "a map's element is a pair"
            raise SnapshotFormatError(msg)
        entry, data = pair[0], _data(pair[1])
    match entry:
        case {"elem": {"val": key, "expires": int(seconds)}}:
            return Element(_key(key), data, _end(seconds, now=now))
        case {"elem": {"val": key}}:
            return Element(_key(key), data, NEVER)
        case _:
            return Element(_key(entry), data, NEVER)


def _end(seconds: int, *, now: datetime) -> datetime:
    """Return the end of an element; one made by hand may lie beyond all dates."""
    longest = (NEVER - now) // timedelta(seconds=1)
    return now + timedelta(seconds=min(seconds, longest))


def _data(value: object) -> str:
    """Return a mark's number, or a verdict."""
    return str(value) if isinstance(value, int) else expression_text(value)


def _key(value: object) -> str:
    """Return a key as `tables` spells it; parts of a concatenation joined."""
    match value:
        case {"concat": [*parts]}:
            return " . ".join(_key(part) for part in parts)
        case {"prefix": {"addr": str(address), "len": int(length)}}:
            return _prefix(address, length)
        case {"range": [first, last]}:
            return f"{_key(first)}-{_key(last)}"
        case str():
            return PROTOCOLS.get(value) or _address(value)
        case int():
            return str(value)
        case _:
            return expression_text(value)


def _prefix(address: str, length: int) -> str:
    """Return a prefix as the range it is."""
    first = ip_address(address)
    size = 1 << (first.max_prefixlen - length)
    return str(first) if size == 1 else f"{first}-{first + (size - 1)}"


def _address(written: str) -> str:
    """Return an address in Python's spelling; any other word as it is."""
    try:
        return str(ip_address(written))
    except ValueError:
        return written


def _hook(item: Mapping[str, object]) -> str:
    """Return the declaration of a base chain, or nothing."""
    if "hook" not in item:
        return ""
    return (
        f"type {item.get('type')} hook {item['hook']} priority {item.get('prio')};"
        f" policy {item.get('policy')};"
    )


def _words(value: object) -> Sequence[str]:
    """Return one word or a list of words; versions of nft differ in which."""
    listed = value if isinstance(value, list) else [value]
    return [word if isinstance(word, str) else expression_text(word) for word in listed]


def _text(item: Mapping[str, object], key: str) -> str:
    """Return a name."""
    value = item.get(key)
    if not isinstance(value, str):
        msg = f"an object of the listing has no {key}"
        raise SnapshotFormatError(msg)
    return value
