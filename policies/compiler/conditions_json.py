"""Requirements and their holders as JSON inside a snapshot, and back. Pure.

A requirement is `[kind, …]`. A reader that does not know the kind refuses the whole
snapshot: passing over a condition would allow more than was meant.
"""

from __future__ import annotations

from typing import Final

from policies.compiler.canonical import (
    Json,
    array,
    expiry_text,
    fields,
    integer,
    parse_expiry,
    text,
)
from policies.compiler.conditions import ApprovedDevice, MaxAge, Requirement, Strength
from policies.compiler.errors import SnapshotFormatError
from policies.compiler.types import Holder, Holders

_CONDITION: Final = frozenset({"requires", "holders"})


def condition_json(part: Holders) -> Json:
    """Return a requirement with its holders as JSON."""
    return {
        "requires": requirement_json(part.requirement),
        "holders": [
            [holder.device_id, expiry_text(holder.expires_at)]
            for holder in sorted(part.holders)
        ],
    }


def requirement_json(wanted: Requirement) -> Json:
    """Return a requirement as JSON: its kind, then what it is about."""
    if isinstance(wanted, MaxAge):
        return ["age", wanted.seconds]
    if isinstance(wanted, Strength):
        return ["strength", list(wanted.amr), list(wanted.acr)]
    return ["approved"]


def read_condition(value: object) -> Holders:
    """Read one requirement and its holders."""
    item = fields(value, _CONDITION)
    return Holders(
        requirement=read_requirement(item["requires"]),
        holders=tuple(_read_holder(entry) for entry in array(item["holders"])),
    )


def _read_holder(value: object) -> Holder:
    """Read `[7, "never"]`."""
    parts = array(value)
    if len(parts) != 2:  # noqa: PLR2004 - device and end
        msg = "a holder is written [device, end]"
        raise SnapshotFormatError(msg)
    return Holder(device_id=integer(parts[0]), expires_at=parse_expiry(parts[1]))


def read_requirement(value: object) -> Requirement:
    """Read one requirement; one of an unknown kind must not be passed over."""
    match array(value):
        case ["age", seconds]:
            return MaxAge(seconds=integer(seconds))
        case ["strength", amr, acr]:
            return Strength(
                amr=tuple(text(entry) for entry in array(amr)),
                acr=tuple(text(entry) for entry in array(acr)),
            )
        case ["approved"]:
            return ApprovedDevice()
        case _:
            msg = f"{value!r} is not a requirement"
            raise SnapshotFormatError(msg)
