"""Canonical JSON: one value, one sequence of bytes; and a reader that takes no other.

The subset of RFC 8785 (JCS) that needs no floating point: ASCII keys in order, no
white space, UTF-8 unescaped, integers below 2**53. What is signed and hashed goes
through here, so the reader refuses whatever the writer would not have written:
duplicate keys, floats, huge integers, lone surrogates, unknown or missing keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn, TypeAlias

from policies.compiler.errors import InvalidValueError, SnapshotFormatError
from policies.compiler.types import NEVER

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | bool | None"

MAX_INTEGER: Final = 2**53 - 1
"""RFC 8785 §3.2.2.3: beyond this, readers disagree about what was written."""

_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z")


def canonical_json(value: Json) -> bytes:
    """Return the only bytes that stand for `value`.

    Raises:
        SnapshotFormatError: a float, a key that is not ASCII text, an integer of
            2**53 or more, or text that is not Unicode (a lone surrogate).
    """
    _check(value)
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        msg = "text with a lone surrogate has no UTF-8 form"
        raise SnapshotFormatError(msg) from exc


def canonical_object(members: Mapping[str, bytes]) -> bytes:
    """Return the canonical bytes of an object whose members are canonical already.

    Raises:
        SnapshotFormatError: a name is not ASCII text.
    """
    written = (canonical_json(name) + b":" + members[name] for name in sorted(members))
    _check_keys(members)
    return b"{" + b",".join(written) + b"}"


def parse_json(data: bytes) -> object:
    """Return the value written in `data`: strict JSON, not necessarily canonical.

    Raises:
        SnapshotFormatError: not UTF-8, not JSON, a key twice, a float, an integer
            beyond 2**53, or nesting too deep to read.
    """
    try:
        value: object = json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_float=_refuse_float,
            parse_constant=_refuse_float,
            parse_int=_bounded,
        )
    except (ValueError, RecursionError) as exc:
        msg = f"not strict JSON: {exc}"
        raise SnapshotFormatError(msg) from exc
    return value


def fields(value: object, names: frozenset[str]) -> Mapping[str, object]:
    """Return `value` as an object that has exactly the keys `names`."""
    if not isinstance(value, dict):
        msg = f"expected an object with {sorted(names)}"
        raise SnapshotFormatError(msg)
    if value.keys() != names:
        odd = sorted(value.keys() ^ names)
        msg = f"unknown or missing keys: {odd}"
        raise SnapshotFormatError(msg)
    return value


def check_version(members: Mapping[str, object], known: Collection[int]) -> None:
    """Refuse a format that this reader does not know.

    Raises:
        SnapshotFormatError: `version` is none of these.
    """
    if integer(members["version"]) not in known:
        msg = f"format version {members['version']} is unknown"
        raise SnapshotFormatError(msg)


def array(value: object) -> Sequence[object]:
    """Return `value` as a list."""
    if not isinstance(value, list):
        msg = "expected a list"
        raise SnapshotFormatError(msg)
    return value


def text(value: object) -> str:
    """Return `value` as text."""
    if not isinstance(value, str):
        msg = "expected text"
        raise SnapshotFormatError(msg)
    return value


def integer(value: object, *, minimum: int = 1, maximum: int = MAX_INTEGER) -> int:
    """Return `value` as an integer in its bounds; `true` is not 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        msg = "expected an integer"
        raise SnapshotFormatError(msg)
    if not minimum <= value <= maximum:
        msg = f"{value} is not between {minimum} and {maximum}"
        raise SnapshotFormatError(msg)
    return value


def integers(value: object) -> tuple[int, ...]:
    """Return `value` as a list of integers, each in the bounds of `integer`."""
    listed = array(value)
    numbers = tuple([item for item in listed if type(item) is int])
    all_are = len(numbers) == len(listed)
    for item in (
        {min(numbers, default=1), max(numbers, default=1)} if all_are else listed
    ):
        integer(item)
    return numbers


def time_text(moment: datetime) -> str:
    """Return `moment` as RFC 3339 in UTC with microseconds and `Z`.

    Raises:
        InvalidValueError: the moment carries no UTC time zone.
    """
    if moment.utcoffset() != timedelta(0):
        msg = f"{moment} is not a time in UTC"
        raise InvalidValueError(msg)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(value: object) -> datetime:
    """Return the moment written by `time_text`, and by nothing else."""
    written = text(value)
    if _TIME.fullmatch(written) is None:
        msg = f"{written!r} is not a time like 2026-01-31T12:00:00.000000Z"
        raise SnapshotFormatError(msg)
    try:
        moment = datetime.fromisoformat(written)
    except ValueError as exc:
        msg = f"{written!r} is not a time"
        raise SnapshotFormatError(msg) from exc
    return moment.astimezone(UTC)


def expiry_text(moment: datetime) -> str:
    """Return the end of something: `never`, said by name, or a time."""
    return "never" if moment == NEVER else time_text(moment)


def parse_expiry(value: object) -> datetime:
    """Return the end written by `expiry_text`; an absent one is not `never`."""
    return NEVER if value == "never" else parse_time(value)


def _check(value: Json) -> None:
    """Refuse what has no canonical form."""
    seen: list[Json] = [value]
    keys: set[str] = set()
    # It grows while it is walked: a call for each value would cost more than writing.
    for item in seen:
        if isinstance(item, str):
            continue
        if isinstance(item, (list, tuple)):
            seen.extend(item)
        elif isinstance(item, dict):
            keys.update(item)
            seen.extend(item.values())
        elif isinstance(item, int):
            if not -MAX_INTEGER <= item <= MAX_INTEGER:
                msg = f"{item} has no exact JSON form"
                raise SnapshotFormatError(msg)
        elif item is not None:
            msg = f"{type(item).__name__} has no canonical form"
            raise SnapshotFormatError(msg)
    _check_keys(keys)


def _check_keys(keys: Iterable[str]) -> None:
    """Refuse keys whose order readers could disagree about."""
    for key in keys:
        if not isinstance(key, str) or not key.isascii():
            msg = f"the key {key!r} is not ASCII text"
            raise SnapshotFormatError(msg)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the object, unless a key stands in it twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a key stands in an object twice"
        raise ValueError(msg)
    return found


def _refuse_float(written: str) -> NoReturn:
    """Refuse every number that is not an integer."""
    msg = f"{written} is not an integer"
    raise ValueError(msg)


def _bounded(written: str) -> int:
    """Return the integer, unless readers could disagree about it."""
    value = int(written)
    if abs(value) > MAX_INTEGER:
        msg = "an integer of 2**53 or more"
        raise ValueError(msg)
    return value
