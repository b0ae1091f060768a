"""What a gateway reports of a generation or a notice, read strictly. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from audit.text import visible
from policies.compiler.canonical import fields, integer, parse_time, text
from policies.compiler.errors import SnapshotFormatError
from policies.errors import AcknowledgementError

TIMINGS: Final = (
    "verify_ms",
    "persist_ms",
    "nftables_ms",
    "wireguard_ms",
    "conntrack_ms",
    "total_ms",
)
MAX_FLOWS: Final = 2**31 - 1
MAX_MILLISECONDS: Final = 86_400_000
ERROR_LENGTH: Final = 255
_KEYS: Final = frozenset(
    {
        "epoch",
        "generation",
        "received_at",
        "applied_at",
        "observed_digest",
        "flows_cut",
        "timings",
        "boot_id",
        "agent_version",
        "error",
    }
)
_NOTICE_KEYS: Final = frozenset(
    {
        "epoch",
        "number",
        "received_at",
        "applied_at",
        "flows_cut",
        "timings",
        "boot_id",
        "agent_version",
        "error",
    }
)
_DIGEST: Final = re.compile(r"([0-9a-f]{64})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgementReport:
    """What a gateway did with a generation, and what its kernel then held.

    `applied_at` is None when it could not be applied; `error` then says why.
    """

    epoch: int
    generation: int
    received_at: datetime
    applied_at: datetime | None
    observed_digest: str
    flows_cut: int
    timings: Mapping[str, float]
    boot_id: str
    agent_version: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeReport:
    """That a gateway enforces all notices of revocation up to a number.

    `applied_at` is None when it could not; `error` then says why. With both, it is
    enforced, but something else is wrong.
    """

    epoch: int
    number: int
    received_at: datetime
    applied_at: datetime | None
    flows_cut: int
    timings: Mapping[str, float]
    boot_id: str
    agent_version: str
    error: str


def parse_notice_report(value: object) -> NoticeReport:
    """Return the report of a notice.

    Raises:
        AcknowledgementError: a key is missing or unknown, or a value is malformed.
    """
    try:
        item = fields(value, _NOTICE_KEYS)
        applied = item["applied_at"]
        return NoticeReport(
            epoch=integer(item["epoch"]),
            number=integer(item["number"]),
            received_at=parse_time(item["received_at"]),
            applied_at=None if applied is None else parse_time(applied),
            flows_cut=integer(item["flows_cut"], minimum=0, maximum=MAX_FLOWS),
            timings=_timings(item["timings"]),
            boot_id=visible(text(item["boot_id"]))[:64],
            agent_version=visible(text(item["agent_version"]))[:64],
            error=visible(text(item["error"]))[:ERROR_LENGTH],
        )
    except SnapshotFormatError as exc:
        msg = f"malformed report of a notice: {exc}"
        raise AcknowledgementError(msg) from exc


def parse_report(value: object) -> AcknowledgementReport:
    """Return the report.

    Raises:
        AcknowledgementError: a key is missing or unknown, or a value is malformed.
    """
    try:
        return _read(fields(value, _KEYS))
    except SnapshotFormatError as exc:
        msg = f"malformed acknowledgement: {exc}"
        raise AcknowledgementError(msg) from exc


def _read(item: Mapping[str, object]) -> AcknowledgementReport:
    applied = item["applied_at"]
    observed = text(item["observed_digest"])
    if _DIGEST.fullmatch(observed) is None:
        msg = "observed_digest is not SHA-256 in lower-case hexadecimal"
        raise SnapshotFormatError(msg)
    return AcknowledgementReport(
        epoch=integer(item["epoch"]),
        generation=integer(item["generation"]),
        received_at=parse_time(item["received_at"]),
        applied_at=None if applied is None else parse_time(applied),
        observed_digest=observed,
        flows_cut=integer(item["flows_cut"], minimum=0, maximum=MAX_FLOWS),
        timings=_timings(item["timings"]),
        boot_id=visible(text(item["boot_id"]))[:64],
        agent_version=visible(text(item["agent_version"]))[:64],
        error=visible(text(item["error"]))[:ERROR_LENGTH],
    )


def _timings(value: object) -> Mapping[str, float]:
    item = fields(value, frozenset(TIMINGS))
    return {name: _milliseconds(name, item[name]) for name in TIMINGS}


def _milliseconds(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        msg = f"{name} is not a number"
        raise SnapshotFormatError(msg)
    if not math.isfinite(value) or not 0 <= value <= MAX_MILLISECONDS:
        msg = f"{name} is out of bounds"
        raise SnapshotFormatError(msg)
    return value
