"""What a gateway shows of what this portal had signed for it, read strictly. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from policies.compiler.canonical import Json, array, canonical_json, fields, integer
from policies.compiler.errors import SnapshotFormatError
from policies.errors import AcknowledgementError

SHOWN: Final = frozenset({"snapshot", "notices", "floor"})
ENVELOPE: Final = frozenset({"payloadType", "payload", "signatures"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The envelope of the snapshot held, and the lowest generation it would take.

    `notices` are envelopes of notices that the snapshot does not cover yet.
    """

    snapshot: bytes
    notices: tuple[bytes, ...]
    floor: int


def parse_shown(value: object) -> Shown:
    """Return what is shown. Nothing in it is trustworthy yet.

    Raises:
        AcknowledgementError: a key is missing or unknown, or a value is malformed.
    """
    try:
        item = fields(value, SHOWN)
        return Shown(
            snapshot=_envelope(item["snapshot"]),
            notices=tuple(_envelope(notice) for notice in array(item["notices"])),
            floor=integer(item["floor"]),
        )
    except SnapshotFormatError as exc:
        msg = f"malformed: {exc}"
        raise AcknowledgementError(msg) from exc


def _envelope(value: object) -> bytes:
    return canonical_json(cast("Json", fields(value, ENVELOPE)))
