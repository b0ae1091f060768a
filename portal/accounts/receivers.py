"""Hears that a person signed out and records it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit.events import EventCode
from audit.services import record
from portal.accounts.models import User

if TYPE_CHECKING:
    from audit.http import PortalRequest


def record_sign_out(*, request: PortalRequest, user: object, **_kwargs: object) -> None:
    """Record a sign-out, unless the session is only being renewed (step-up)."""
    if not isinstance(user, User) or getattr(request, "is_renewal", False):
        return
    record(
        EventCode.USER_LOGOUT,
        actor=request.actor,
        now=request.received_at,
        person=user.ref,
    )
