"""The loop that seals: a process of its own, or a thread in the embedded default."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from django.db import Error, close_old_connections, connections

from audit.errors import SealError
from audit.models import Log
from audit.sealing.deciding import BATCH
from audit.sealing.sealer import Sealer

if TYPE_CHECKING:
    from threading import Event

logger = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 1.0
REFUSED_SECONDS: Final = 10.0
"""How long to rest when a tree must not be signed: only people can mend that."""


def run(stop: Event) -> None:
    """Seal both logs until told to stop; a batch that began is ended."""
    sealers = [Sealer(log) for log in Log]
    while not stop.is_set():
        rest = PERIOD_SECONDS
        for sealer in sealers:
            try:
                taken = sealer.seal(_now())
            except SealError as exc:
                logger.critical("the %s log is not sealed: %s", sealer.log.value, exc)
                rest = max(rest, REFUSED_SECONDS)
            except Error:
                # The database went away; what was taken is in the outbox again.
                logger.exception("the %s log was not sealed", sealer.log.value)
            else:
                # While there is much to make up for, there is no reason to rest.
                rest = 0 if taken == BATCH else rest
        close_old_connections()
        stop.wait(rest)
    connections.close_all()


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- a process is an edge
