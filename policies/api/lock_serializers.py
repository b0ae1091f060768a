"""What the API of locks takes and gives. Rules are the service's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from peers.api.serializers import ClosedInput, MomentField, TextField

if TYPE_CHECKING:
    from datetime import datetime

    from policies.models import Lock


class LockInput(ClosedInput):
    """What is locked, why, and until when; null is until it is lifted.

    `confirm` says that many people may lose access by it.
    """

    target = TextField()
    message = TextField()
    expires_at = MomentField(required=False, allow_null=True, default=None)
    confirm = serializers.BooleanField(required=False, default=False)


def lock_output(lock: Lock, *, now: datetime) -> dict[str, Any]:
    """Return a lock."""
    target = lock.target
    is_over = lock.expires_at is not None and lock.expires_at <= now
    return {
        "id": lock.pk,
        "kind": lock.kind,
        "target": {"id": target.ref.id, "name": str(target)},
        "message": lock.message,
        "created_at": lock.created_at,
        "expires_at": lock.expires_at,
        "lifted_at": lock.lifted_at,
        "is_in_force": lock.lifted_at is None and not is_over,
    }
