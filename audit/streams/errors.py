"""What can go wrong with a stream. Messages are facts that readers may see."""

from __future__ import annotations

from audit.errors import AuditError


class StreamError(AuditError):
    """Root of what streams raise."""


class InvalidStreamError(StreamError):
    """A stream has no name, no log, or an address that nothing can be sent to."""


class DeliveryError(StreamError):
    """A receiver did not take a batch. The message never holds a secret."""
