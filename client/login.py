"""Becoming somebody: the device authorization grant (RFC 8628)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from client.errors import ClientError, PortalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from client.http import Portal

CLIENT_ID: Final = "peerage-cli"
SCOPE: Final = "devices"
GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
SLOW_DOWN_SECONDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What the portal handed out; the refresh token may be missing."""

    access: str
    refresh: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A code that waits for a person to agree in their browser."""

    device_code: str
    user_code: str
    address: str
    expires_seconds: int
    interval_seconds: int


def invite(portal: Portal) -> Invitation:
    """Ask the portal for a code."""
    answer = portal.post_form(
        "/identity/o/api/device/code", {"client_id": CLIENT_ID, "scope": SCOPE}
    )
    try:
        return Invitation(
            device_code=str(answer["device_code"]),
            user_code=str(answer["user_code"]),
            address=str(answer["verification_uri"]),
            expires_seconds=int(answer["expires_in"]),
            interval_seconds=int(answer.get("interval", SLOW_DOWN_SECONDS)),
        )
    except (KeyError, ValueError) as exc:
        msg = "this does not speak like a Peerage portal; is the address right?"
        raise ClientError(msg) from exc


def wait_for_consent(
    portal: Portal, invitation: Invitation, *, sleep: Callable[[float], None]
) -> Tokens:
    """Poll until the person has agreed.

    Slower by five seconds each time the portal says so (RFC 8628 §3.5).

    Raises:
        ClientError: the person refused, or the code has expired.
    """
    interval = max(1, invitation.interval_seconds)
    waited = 0
    while waited < invitation.expires_seconds:
        sleep(interval)
        waited += interval
        try:
            answer = portal.post_form(
                "/identity/o/api/token",
                {
                    "grant_type": GRANT,
                    "client_id": CLIENT_ID,
                    "device_code": invitation.device_code,
                },
            )
        except PortalError as exc:
            interval += _patience(exc)
            continue
        return _tokens(answer)
    msg = "the code has expired; start again"
    raise ClientError(msg)


def refresh(portal: Portal, token: str) -> Tokens:
    """Exchange a refresh token; the old one is worth nothing afterwards."""
    answer = portal.post_form(
        "/identity/o/api/token",
        {"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": token},
    )
    return _tokens(answer)


def _patience(refusal: PortalError) -> int:
    """Return how many seconds slower to go on, or say that it is over."""
    match refusal.code:
        case "authorization_pending":
            return 0
        case "slow_down":
            return SLOW_DOWN_SECONDS
        case "access_denied":
            msg = "the request was refused in the browser"
            raise ClientError(msg) from refusal
        case "expired_token" | "invalid_grant":
            msg = "the code has expired; start again"
            raise ClientError(msg) from refusal
        case _:
            raise refusal


def _tokens(answer: dict[str, Any]) -> Tokens:
    return Tokens(
        access=str(answer["access_token"]),
        refresh=str(answer.get("refresh_token") or ""),
    )
