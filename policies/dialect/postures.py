"""Posture: assertions about a device, in the dialect's own small grammar.

`attribute op value`, where op is `==`, `!=`, `<`, `<=`, `>`, `>=`, `IN [..]`,
`NOT IN [..]`, `IS SET` or `NOT SET`. A posture holds when all its assertions do; a
rule's postures when one of them does. An attribute that is absent fails everything
but `NOT SET`, also `!=` and `NOT IN`: what is unknown gives nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias

from policies.dialect.errors import DialectError

Scalar: TypeAlias = "str | bool | Decimal"


class Comparison(Enum):
    """How an attribute is compared."""

    EQUAL = "=="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    IN = "IN"
    NOT_IN = "NOT IN"
    SET = "IS SET"
    NOT_SET = "NOT SET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """One comparison of one attribute; `values` holds one value, or a list's."""

    attribute: str
    comparison: Comparison
    values: tuple[Scalar, ...] = ()


Posture: TypeAlias = tuple[Assertion, ...]

_ASSERTION: Final = re.compile(
    r"(?P<name>[a-zA-Z]+:[a-zA-Z0-9_]+)\s*"
    r"(?P<op>==|!=|<=|>=|<|>|NOT\s+IN\b|IN\b|IS\s+SET\b|NOT\s+SET\b)\s*(?P<rest>.*)"
)
_VALUE: Final = re.compile(
    r"'(?P<one>[^']*)'|\"(?P<two>[^\"]*)\"|(?P<word>true|false)"
    r"|(?P<number>-?[0-9]{1,15}(?:\.[0-9]{1,15})?)"
)
_ORDERED: Final = {
    Comparison.LESS,
    Comparison.AT_MOST,
    Comparison.MORE,
    Comparison.AT_LEAST,
}


def parse_assertion(text: str) -> Assertion:
    """Return the assertion written in `text`.

    Raises:
        DialectError: it does not follow the grammar.
    """
    found = _ASSERTION.fullmatch(text.strip())
    if found is None:
        msg = f"{text!r} is not an assertion like node:os == 'linux'"
        raise DialectError(msg)
    comparison = Comparison(" ".join(found["op"].split()))
    rest = found["rest"]
    if comparison in {Comparison.IN, Comparison.NOT_IN}:
        values = _list(rest, text)
    elif comparison in {Comparison.SET, Comparison.NOT_SET}:
        values = ()
        if rest:
            msg = f"{text!r} goes on behind {comparison.value}"
            raise DialectError(msg)
    else:
        values = (_value(rest, text),)
    return Assertion(attribute=found["name"], comparison=comparison, values=values)


def assertion_text(assertion: Assertion) -> str:
    """Return an assertion as the file spells it.

    A text never holds both kinds of quotes: the grammar cannot say it.
    """
    values = [_value_text(value) for value in assertion.values]
    if assertion.comparison in {Comparison.IN, Comparison.NOT_IN}:
        values = [f"[{', '.join(values)}]"]
    return " ".join([assertion.attribute, assertion.comparison.value, *values])


def holds(posture: Posture, attributes: Mapping[str, Scalar]) -> bool:
    """Return whether every assertion of a posture holds for these attributes."""
    return all(_holds(assertion, attributes) for assertion in posture)


def any_holds(postures: Iterable[Posture], attributes: Mapping[str, Scalar]) -> bool:
    """Return whether one of the postures holds."""
    return any(holds(posture, attributes) for posture in postures)


def _holds(assertion: Assertion, attributes: Mapping[str, Scalar]) -> bool:
    """Return whether one assertion holds; an absent attribute holds for nothing."""
    value = attributes.get(assertion.attribute)
    match assertion.comparison:
        case Comparison.SET:
            return value is not None
        case Comparison.NOT_SET:
            return value is None
    if value is None:
        return False
    if assertion.comparison in _ORDERED:
        return _ordered(assertion, value)
    is_among = any(
        type(value) is type(wanted) and value == wanted for wanted in assertion.values
    )
    return is_among == (assertion.comparison in {Comparison.EQUAL, Comparison.IN})


def _ordered(assertion: Assertion, value: Scalar) -> bool:
    """Return whether an ordering holds, between versions or between numbers."""
    wanted = assertion.values[0]
    if isinstance(value, bool) or type(value) is not type(wanted):
        return False
    left, right = _rank(value), _rank(wanted)
    match assertion.comparison:
        case Comparison.LESS:
            return left < right
        case Comparison.AT_MOST:
            return left <= right
        case Comparison.MORE:
            return left > right
        case _:
            return left >= right


def _rank(value: Scalar) -> tuple[tuple[bool, Decimal, str], ...]:
    """Return what a version or number sorts by: `14.10` is behind `14.2`."""
    return (
        tuple(
            (part.isdecimal(), Decimal(part) if part.isdecimal() else Decimal(0), part)
            for part in re.findall(r"[0-9]+|[^0-9.]+", str(value))
        )
        if isinstance(value, str)
        else ((True, Decimal(value), ""),)
    )


def _value_text(value: Scalar) -> str:
    """Return one value as the file spells it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f")
    return f'"{value}"' if "'" in value else f"'{value}'"


def _list(rest: str, text: str) -> tuple[Scalar, ...]:
    """Return the values of `[a, b]`."""
    inner = rest.strip()
    if not (inner.startswith("[") and inner.endswith("]")):
        msg = f"{text!r} needs a list in brackets"
        raise DialectError(msg)
    values: list[Scalar] = []
    inner = inner[1:-1].strip()
    while inner:
        found = _VALUE.match(inner)
        if found is None:
            msg = f"{text!r} holds what is no value"
            raise DialectError(msg)
        values.append(_value(found.group(), text))
        inner = inner[found.end() :].lstrip()
        if inner and not inner.startswith(","):
            msg = f"{text!r} lacks a comma"
            raise DialectError(msg)
        inner = inner[1:].lstrip()
    return tuple(values)


def _value(written: str, text: str) -> Scalar:
    """Return one value: text in quotes, a number, true or false."""
    found = _VALUE.fullmatch(written.strip())
    if found is None:
        msg = f"{text!r} holds what is no value"
        raise DialectError(msg)
    if found["word"]:
        return found["word"] == "true"
    if found["number"]:
        return Decimal(found["number"])
    return found["one"] if found["one"] is not None else found["two"]
