"""What can go wrong with alarms. Messages are facts that may be shown."""

from __future__ import annotations

from audit.errors import AuditError


class AlarmError(AuditError):
    """An alarm does not take this."""


class InvalidChannelError(AuditError):
    """A channel could not work, and why."""


class DeliveryError(AuditError):
    """A notification did not arrive. Holds no secret and no word of the receiver's."""
