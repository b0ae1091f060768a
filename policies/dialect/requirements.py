"""What a rule demands of a device or its owner: our own keys, read and written.

`requireApproval` asks for an approved device, `maxAuthAge` for a sign-in that is not
older, `amr` for all of these methods of it, `acr` for one of these classes. What they
mean is the compiler's (`policies.compiler.conditions`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from policies.compiler.conditions import (
    ApprovedDevice,
    MaxAge,
    Requirement,
    Requirements,
    Strength,
    sorted_requirements,
)
from policies.compiler.errors import InvalidValueError
from policies.dialect.tree import Node

UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}

_AGE: Final = re.compile(r"([1-9][0-9]{0,7})([dhms])")


def read_requirements(fields: Mapping[str, Node]) -> Requirements:
    """Return what the fields of a rule demand.

    Raises:
        PolicyError: an age that is none or out of bounds, a list that demands nothing,
            or an entry that is no method or class.
    """
    found: list[Requirement] = []
    approval = fields.get("requireApproval")
    if approval is not None and approval.boolean:
        found.append(ApprovedDevice())
    if "maxAuthAge" in fields:
        found.append(_age(fields["maxAuthAge"]))
    if "amr" in fields or "acr" in fields:
        found.append(_strength(fields))
    return sorted_requirements(found)


def requirement_fields(requires: Requirements) -> dict[str, object]:
    """Return requirements as the fields of a rule."""
    found: dict[str, object] = {}
    for wanted in requires:
        if isinstance(wanted, MaxAge):
            found["maxAuthAge"] = age_text(wanted.seconds)
        elif isinstance(wanted, Strength):
            found |= {"amr": list(wanted.amr)} if wanted.amr else {}
            found |= {"acr": list(wanted.acr)} if wanted.acr else {}
        else:
            found["requireApproval"] = True
    return dict(sorted(found.items()))


def age_text(seconds: int) -> str:
    """Return an age in the largest unit that says it exactly."""
    unit = next(unit for unit, size in UNITS.items() if seconds % size == 0)
    return f"{seconds // UNITS[unit]}{unit}"


def read_age(node: Node) -> int:
    """Return the seconds of an age written `8h`.

    Raises:
        PolicyError: it is not written like that.
    """
    match = _AGE.fullmatch(node.text)
    if match is None:
        node.refuse(f"{node.text!r} is not an age like 8h, 30m or 7d")
    return int(match[1]) * UNITS[match[2]]


def _age(node: Node) -> MaxAge:
    """Return an age as what it demands."""
    try:
        return MaxAge(seconds=read_age(node))
    except InvalidValueError as exc:
        node.refuse(str(exc))


def _strength(fields: Mapping[str, Node]) -> Strength:
    """Return methods and classes; an empty list would demand nothing."""
    listed = {}
    for name in ("amr", "acr"):
        texts = [item.text for item in fields[name].texts()] if name in fields else []
        if name in fields and not texts:
            fields[name].refuse(f"{name} is empty and would demand nothing")
        listed[name] = tuple(sorted(set(texts)))
    try:
        return Strength(amr=listed["amr"], acr=listed["acr"])
    except InvalidValueError as exc:
        (fields.get("amr") or fields["acr"]).refuse(str(exc))
