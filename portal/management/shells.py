"""A shell on the database leaves an event before it opens."""

from __future__ import annotations

from datetime import UTC, datetime

from audit.events import EventCode
from audit.services import record
from portal.management.actors import command_actor


def record_opened(name: str) -> None:
    """Record that somebody opens a shell; without the event there is none."""
    record(
        EventCode.DATABASE_SHELL_OPEN,
        actor=command_actor(name),
        now=datetime.now(UTC),  # noqa: TID251 -- a command is an edge
        details={"command": name},
    )
