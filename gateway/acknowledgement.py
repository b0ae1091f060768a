"""What the agent tells the portal of a generation, and of a notice. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from gateway.config import VERSION
from gateway.flows import text_time
from gateway.types import Timings
from policies.compiler.notice import Notice
from policies.compiler.types import Snapshot

ERROR_LENGTH: Final = 250


def document(
    snapshot: Snapshot,
    timings: Timings,
    *,
    received_at: datetime,
    applied_at: datetime | None,
    observed_digest: str,
    boot_id: str,
    error: str,
) -> dict[str, object]:
    """Return the acknowledgement of a generation, as docs/protocol.md has it."""
    return {
        "epoch": snapshot.epoch,
        "generation": snapshot.generation,
        "received_at": text_time(received_at),
        "applied_at": text_time(applied_at) if applied_at else None,
        "observed_digest": observed_digest,
        "flows_cut": timings.flows_cut,
        "timings": timings.document(),
        "boot_id": boot_id,
        "agent_version": VERSION,
        "error": error[:ERROR_LENGTH],
    }


def notice_document(
    notice: Notice,
    timings: Timings,
    *,
    received_at: datetime,
    applied_at: datetime | None,
    boot_id: str,
    error: str,
) -> dict[str, object]:
    """Return the report of a notice, and of all before it, as docs/protocol.md has it.

    `applied_at` is when the last of its steps was done, the cutting of flows.
    """
    return {
        "epoch": notice.epoch,
        "number": notice.number,
        "received_at": text_time(received_at),
        "applied_at": text_time(applied_at) if applied_at else None,
        "flows_cut": timings.flows_cut,
        "timings": timings.document(),
        "boot_id": boot_id,
        "agent_version": VERSION,
        "error": error[:ERROR_LENGTH],
    }
