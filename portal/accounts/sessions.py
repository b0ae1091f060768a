"""What a browser session remembers of the proof behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from django.http import HttpRequest

SESSION_KEY: Final = "sso"
SIGN_IN_KEY: Final = "sign_in"
"""Under it stands the uid of the event by which the session began or was renewed."""


def proven_at(request: HttpRequest) -> datetime | None:
    """Return when the identity provider last saw the person prove who they are.

    None when it never said so; that counts as never.
    """
    proof = request.session.get(SESSION_KEY)
    auth_time = proof.get("auth_time") if isinstance(proof, dict) else None
    if not isinstance(auth_time, int):
        return None
    return datetime.fromtimestamp(auth_time, tz=UTC)


def is_recent(request: HttpRequest, *, seconds: int, now: datetime) -> bool:
    """Return whether the proof is at most `seconds` old."""
    moment = proven_at(request)
    return moment is not None and now - moment <= timedelta(seconds=seconds)


def sign_in_of(request: HttpRequest) -> str:
    """Return the uid of the sign-in that a session comes from, "" for an older one."""
    return str(request.session.get(SIGN_IN_KEY, ""))
