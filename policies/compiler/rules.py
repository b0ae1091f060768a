"""Rules in libnftables' JSON, spelled as nft(8) text: only the vocabulary we emit.

Whatever has one key more or less than expected is not the expression we know: it is
returned as JSON and so equals none of our rules. Counters' values are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

_WORDS: Final = frozenset({"accept", "drop"})

_TEMPLATES: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "counter": (frozenset({"packets", "bytes"}), "counter"),
    "ct": (frozenset({"key"}), "ct {key}"),
    "goto": (frozenset({"target"}), "goto {target}"),
    "jump": (frozenset({"target"}), "jump {target}"),
    "limit": (
        frozenset({"rate", "per", "burst"}),
        "limit rate {rate}/{per} burst {burst} packets",
    ),
    "log": (frozenset({"prefix", "group"}), 'log prefix "{prefix}" group {group}'),
    "mangle": (frozenset({"key", "value"}), "{key} set {value}"),
    "map": (frozenset({"key", "data"}), "{key} map {data}"),
    "meta": (frozenset({"key"}), "meta {key}"),
    "numgen": (
        frozenset({"mode", "mod", "offset"}),
        "numgen {mode} mod {mod} offset {offset}",
    ),
    "payload": (frozenset({"protocol", "field"}), "{protocol} {field}"),
    "vmap": (frozenset({"key", "data"}), "{key} vmap {data}"),
}
"""Expressions by their one key: the keys inside, and how nft(8) writes them."""

PROTOCOLS: Final[Mapping[str, str]] = {
    "icmp": "1",
    "tcp": "6",
    "udp": "17",
    "ipv6-icmp": "58",
    "icmpv6": "58",
}
"""Protocols as a listing may name them, and their numbers, which are ours."""

_JOINTS: Final = {"concat": " . ", "range": "-"}

_STATES: Final = ("established", "related", "new", "invalid", "untracked")
_LOOSE: Final = frozenset({"==", "in"})
"""For a bit mask such as `ct state`, versions of nft print either."""


def rule_text(expressions: Sequence[object]) -> str:
    """Return a rule as `nftables` writes it."""
    return " ".join(expression_text(expression) for expression in expressions)


def expression_text(value: object) -> str:
    """Return an expression, or its JSON when it is none of ours."""
    if isinstance(value, str | int):
        return str(value)
    written = None
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, content),) = value.items()
        written = _known(kind, content)
    return written or json.dumps(value, sort_keys=True)


def _known(kind: object, content: object) -> str | None:
    """Return an expression of our vocabulary."""
    match kind, content:
        case str(), None if kind in _WORDS:
            return kind
        case "concat" | "range", [*parts]:
            return _JOINTS[kind].join(expression_text(part) for part in parts)
        case "&", [left, mask]:
            return f"{expression_text(left)} & ({'|'.join(_flags(mask))})"
        case "match", {"op": str(op), "left": left, "right": right, **rest}:
            return None if rest else _match(op, expression_text(left), right)
        case str(), {}:
            return _filling(content) if kind == "set" else _templated(kind, content)
        case _:
            return None


def _templated(kind: str, content: Mapping[str, object]) -> str | None:
    """Return an expression by its template, if it has exactly the keys of it."""
    keys, template = _TEMPLATES.get(kind, (frozenset(), ""))
    if not keys or content.keys() != keys:
        return None
    written = template.format(
        **{key: expression_text(item) for key, item in content.items()}
    )
    return written.removeprefix("meta ") if written.endswith("ifname") else written


def _filling(content: Mapping[str, object]) -> str | None:
    """Return a statement by which a packet fills a set."""
    asked = ""
    match content:
        case {"op": op, "elem": element, "set": name, "stmt": [statement]}:
            asked = f" {_over(statement)}"
        case {"op": op, "elem": element, "set": name, **more} if not more:
            pass
        case _:
            return None
    match element:
        case {"elem": {"val": key, "timeout": int(seconds), **rest}} if not rest:
            timed = f"{expression_text(key)} timeout {seconds}s"
            return f"{op} {name} {{ {timed}{asked} }}"
        case _:
            return None


def _over(statement: object) -> str:
    """Return a limit that holds once it is exceeded, or JSON when it is none."""
    match statement:
        case {"limit": {"inv": True, "rate": rate, "burst": burst, "per": per, **rest}}:
            if not rest:
                return f"limit rate over {rate}/{per} burst {burst} packets"
    return json.dumps(statement, sort_keys=True)


def _match(op: str, subject: str, right: object) -> str:
    """Return a comparison; equality is not written."""
    if subject == "ct state" and op in _LOOSE:
        return f"{subject} {_states(right)}"
    compared = expression_text(right)
    if subject == "meta l4proto":
        compared = PROTOCOLS.get(compared, compared)
    if subject.endswith("ifname") and not compared.startswith("@"):
        compared = f'"{compared}"'
    return f"{subject} {compared}" if op == "==" else f"{subject} {op} {compared}"


def _states(value: object) -> str:
    """Return conntrack states in one order."""
    listed = value if isinstance(value, list) else [value]
    if not set(_STATES).issuperset(expression_text(state) for state in listed):
        return expression_text(value)
    return ",".join(state for state in _STATES if state in listed)


def _flags(value: object) -> list[str]:
    """Return the flags of a bit mask; versions of nft list them or nest them."""
    match value:
        case [*flags] | {"|": [*flags]}:
            return [flag for nested in flags for flag in _flags(nested)]
        case _:
            return [expression_text(value)]
