"""Jobs of alarms: bounded, and safe to run in many copies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from celery import shared_task

from audit.alarms import delivery, watching

_room: Final = watching.RoomWatch()


@shared_task(name="alarms.watch")
def watch() -> None:
    """Judge what is new in both logs, and whether they are sealed and have room."""
    now = _now()
    try:
        # First: on a full disk nothing else finds a place. Whatever became of it, the
        # logs are watched.
        _room.look(now=now)
    finally:
        watching.watch_events(now=now)
        watching.watch_flows(now=now)
        watching.watch_checkpoints(now=now)


@shared_task(name="alarms.deliver")
def deliver() -> None:
    """Send the notifications that are due."""
    delivery.deliver_due(clock=_now)


@shared_task(name="alarms.clean_up")
def clean_up() -> None:
    """Forget notifications that ended long ago."""
    delivery.forget_old(now=_now())


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- a task is an edge
