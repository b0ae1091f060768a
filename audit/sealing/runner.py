"""The loop that seals: a process of its own, or a thread in the embedded default."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from django.db import Error, close_old_connections, connections

from audit.errors import SealError
from audit.models import Log
from audit.sealing import tables
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
    word = _Word()
    while not stop.is_set():
        rest = PERIOD_SECONDS
        for sealer in sealers:
            try:
                taken = sealer.seal(_now())
            except SealError as exc:
                logger.critical("the %s log is not sealed: %s", sealer.log.value, exc)
                word.leave(sealer.log, str(exc))
                rest = max(rest, REFUSED_SECONDS)
            except Error:
                # The database went away; what was taken is in the outbox again.
                logger.exception("the %s log was not sealed", sealer.log.value)
            else:
                word.leave(sealer.log, "")
                # While there is much to make up for, there is no reason to rest.
                rest = 0 if taken == BATCH else rest
        close_old_connections()
        stop.wait(rest)
    connections.close_all()


class _Word:
    """What the portal is told of each log: why it is not signed, or nothing.

    Written when it changes, and at the start, when nobody knows what stands there.
    """

    def __init__(self) -> None:
        self._left: dict[Log, str] = {}

    def leave(self, log: Log, reason: str) -> None:
        """Tell it, unless it was told; a database that takes nothing is told later."""
        if self._left.get(log) == reason:
            return
        try:
            if reason:
                tables.tell_refusal(log, reason, now=_now())
            else:
                tables.withdraw_refusal(log)
        except Error:
            logger.exception("the portal was not told of the %s log", log.value)
        else:
            self._left[log] = reason


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- a process is an edge
