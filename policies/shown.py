"""What a gateway shows of what this portal had signed for it, read strictly. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from policies.compiler.canonical import Json, canonical_json, fields, integer
from policies.compiler.errors import SnapshotFormatError
from policies.errors import AcknowledgementError

SHOWN: Final = frozenset({"snapshot", "floor"})
ENVELOPE: Final = frozenset({"payloadType", "payload", "signatures"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The envelope of the snapshot held, and the lowest generation it would take."""

    snapshot: bytes
    floor: int


def parse_shown(value: object) -> Shown:
    """Return what is shown. Nothing in it is trustworthy yet.

    Raises:
        AcknowledgementError: a key is missing or unknown, or a value is malformed.
    """
    try:
        item = fields(value, SHOWN)
        envelope = cast("Json", fields(item["snapshot"], ENVELOPE))
        return Shown(snapshot=canonical_json(envelope), floor=integer(item["floor"]))
    except SnapshotFormatError as exc:
        msg = f"malformed: {exc}"
        raise AcknowledgementError(msg) from exc
