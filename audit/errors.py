"""What can go wrong in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class AuditError(Exception):
    """The root of this app's errors."""


class AppendOnlyError(AuditError):
    """Somebody tried to change or remove an event."""


class FilterError(AuditError):
    """A query string says something that cannot be searched for.

    `messages` tells what is wrong with each parameter, for the form that sent it.
    """

    def __init__(self, messages: Mapping[str, str]) -> None:
        """Keep one message for each parameter."""
        self.messages = dict(messages)
        super().__init__(
            "; ".join(f"{name}: {text}" for name, text in self.messages.items())
        )


class LeafError(AuditError):
    """An event has no canonical bytes."""


class UndeclaredError(AuditError):
    """An event holds what its code does not declare in the catalogue."""


class NoRoomError(AuditError):
    """The disk of the log is kept for revocations; nothing was changed."""


class WitnessRefusedError(AuditError):
    """A witness did not sign, or what it gave is not its signature."""


class SealError(AuditError):
    """A log must not be signed, or cannot be. Its text says what to do."""


class HoldError(AuditError):
    """A legal hold cannot be placed or lifted, or forbids what was asked for."""


class ForgettingError(AuditError):
    """Somebody cannot be forgotten yet. Its text says why and what to do."""


class PruneError(AuditError):
    """Leaves may not be pruned, or not yet. Its text says why and what to do."""
