"""When the key that signs requests is replaced, and how (ADR-0020).

The WireGuard key is not: every client's configuration names it.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Final, Protocol

from gateway.errors import PortalRefusedError
from gateway.logs import Log
from gateway.stamping import RequestKeys

log = Log(__name__)

PERIOD: Final = timedelta(days=30)


class KeyPortal(Protocol):
    """What an exchange needs of a portal."""

    def introduce(self) -> None:
        """Tell the portal of the newest key."""


class Rotation:
    """Replaces the key when it is old. One thread steps it."""

    def __init__(
        self, *, keys: RequestKeys, portal: KeyPortal, period: timedelta
    ) -> None:
        """Replace a key that has been in use for `period`."""
        self._keys = keys
        self._portal = portal
        self._period = period

    def step(self) -> bool:
        """Replace the key if it is due, or finish what was begun; return whether.

        Raises:
            PortalError: the portal did not take it; both keys are kept, try again.
            StoreError: the disk refused; the key in use is used on.
        """
        if not self._keys.has_successor:
            if not self._keys.is_due(period=self._period):
                return False
            self._keys.prepare()
        try:
            self._portal.introduce()
        except PortalRefusedError as exc:
            if exc.status == HTTPStatus.UNPROCESSABLE_ENTITY:
                # It will never take this one: make another next time.
                self._keys.discard()
            raise
        self._keys.take_over()
        log.info("key.rotated")
        return True
