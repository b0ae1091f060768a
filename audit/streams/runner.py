"""The loop that delivers: a process of its own, or a thread in the embedded default.

Not a Celery task: a receiver that hangs would hold up the sweeps that share a worker
with it. Any number of these may run (`audit.streams.delivery`).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from django.db import close_old_connections, connections

from audit.streams.delivery import deliver_due

if TYPE_CHECKING:
    from threading import Event

logger = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 1.0


def run(stop: Event) -> None:
    """Deliver until told to stop; a turn that began is ended."""
    while not stop.is_set():
        try:
            delivered = deliver_due(clock=_now)
        except Exception:
            # Whatever it was, the next turn starts anew; a stream that caused it waits.
            logger.exception("a turn of the streams failed")
            delivered = 0
        close_old_connections()
        # While there is much to make up for, there is no reason to rest.
        if not delivered:
            stop.wait(PERIOD_SECONDS)
    connections.close_all()


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- a process is an edge
