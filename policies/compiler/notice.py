"""A notice of revocation as bytes, and back: what must be cut before all else.

It runs ahead of the snapshot that says the same, because it is small (ADR-0019).
Rules this module keeps:

* It can only remove: it names keys that are revoked for ever, and the devices that
  are revoked with them. Nothing in it could grant anything.
* Equal notices are equal bytes, and no second spelling is read.
* Names never stand in it; keys and machine ids do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from policies.compiler.canonical import (
    array,
    canonical_json,
    check_version,
    fields,
    integer,
    integers,
    parse_json,
    parse_time,
    text,
    time_text,
)
from policies.compiler.errors import CompilerError, SnapshotFormatError
from policies.compiler.types import MAX_ID
from policies.compiler.validate import check_keys

VERSION: Final = 1

_NOTICE: Final = frozenset(
    {
        "version",
        "deployment",
        "audience",
        "epoch",
        "number",
        "issued",
        "devices",
        "keys",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Keys that are revoked, and devices that may do nothing any more.

    `number` grows from notice to notice of a deployment, without a promise that the
    next is one more. A device stands in it only if the device itself is revoked: one
    that changed its key lives on.
    """

    deployment: str
    audience: str
    epoch: int
    number: int
    issued: datetime
    devices: frozenset[int]
    keys: frozenset[str]


def notice_bytes(notice: Notice) -> bytes:
    """Return the canonical bytes of a notice: what is signed."""
    return canonical_json(
        {
            "version": VERSION,
            "deployment": notice.deployment,
            "audience": notice.audience,
            "epoch": notice.epoch,
            "number": notice.number,
            "issued": time_text(notice.issued),
            "devices": sorted(notice.devices),
            "keys": sorted(notice.keys),
        }
    )


def parse_notice(data: bytes) -> Notice:
    """Return the notice that `notice_bytes` wrote as `data`.

    Raises:
        SnapshotFormatError: anything else, down to the order of a list.
    """
    try:
        notice = _read(fields(parse_json(data), _NOTICE))
        check_keys(notice.keys)
    except SnapshotFormatError:
        raise
    except CompilerError as exc:
        raise SnapshotFormatError(str(exc)) from exc
    if notice_bytes(notice) != data:
        msg = "not the canonical form of a notice"
        raise SnapshotFormatError(msg)
    return notice


def _read(top: Mapping[str, object]) -> Notice:
    check_version(top, {VERSION})
    devices = integers(top["devices"])
    integer(max(devices, default=1), maximum=MAX_ID)
    return Notice(
        deployment=text(top["deployment"]),
        audience=text(top["audience"]),
        epoch=integer(top["epoch"]),
        number=integer(top["number"]),
        issued=parse_time(top["issued"]),
        devices=frozenset(devices),
        keys=frozenset([text(item) for item in array(top["keys"])]),
    )
