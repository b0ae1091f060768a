"""Whether the details of an event are what its code declares."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from audit.catalogue.kinds import SECRET_NEVER, EventType, Field, Privacy, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from audit.catalogue.codes import Outcome

WITHHELD: Final = "[withheld]"


def problems(
    declared: EventType, outcome: Outcome, details: Mapping[str, Any]
) -> list[str]:
    """Return what an event holds that its code does not allow, in words.

    Fields are named, never quoted: what does not belong here may be a secret.
    """
    found = []
    if outcome not in declared.outcomes:
        found.append(f"{declared.code.value} cannot end with {outcome.value}")
    for name, value in details.items():
        field = declared.fields.get(name)
        if field is None:
            found.append(f"{declared.code.value} has no field {name!r}")
        elif not is_of(field, value):
            found.append(f"{name!r} of {declared.code.value} is no {field.shape}")
    found += [f"{name!r} must never be recorded" for name in _secrets(details)]
    return found


def is_of(field: Field, value: object) -> bool:
    """Return whether a value has the shape that a field declares."""
    if value is None:
        return field.may_be_null
    return SHAPES[field.shape](value)


def without_secrets(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    """Return a JSON value in which nothing under a secret's name is left."""
    if isinstance(value, Mapping):
        return {
            name: WITHHELD if name in SECRET_NEVER else without_secrets(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value


def personal_part(declared: EventType, details: Mapping[str, Any]) -> frozenset[str]:
    """Return the fields of these details that are to be committed, not shown."""
    return frozenset(
        name
        for name in details
        if (field := declared.fields.get(name)) is None
        or field.privacy is not Privacy.OPEN
    )


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name in SECRET_NEVER:
                yield str(name)
            yield from _secrets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_moment(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_list_of(is_item: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list | tuple) and all(map(is_item, value))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


SHAPES: Final[Mapping[Shape, Callable[[object], bool]]] = {
    Shape.TEXT: _is_text,
    Shape.MOMENT: _is_moment,
    Shape.WHOLE: _is_whole,
    Shape.FLAG: lambda value: isinstance(value, bool),
    Shape.TEXTS: _is_list_of(_is_text),
    Shape.WHOLES: _is_list_of(_is_whole),
    Shape.TABLE: _is_table,
    Shape.TABLES: _is_list_of(_is_table),
}
