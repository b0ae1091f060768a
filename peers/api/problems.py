"""Refusals as problem documents (RFC 9457): what happened, and no more."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from django.http import JsonResponse

from peers.errors import (
    ClockError,
    DeviceLimitError,
    DeviceRevokedError,
    EnrolmentTokenError,
    GatewayRequestError,
    GatewayStateError,
    KeySeenError,
    OwnerInactiveError,
    PeerError,
    PoolExhaustedError,
    QuarantineError,
    ReplayError,
)

CONTENT_TYPE: Final = "application/problem+json"
UNSIGNED: Final = "the request is not signed by an enrolled gateway"

_STATUS: Final[dict[type[PeerError], HTTPStatus]] = {
    ClockError: HTTPStatus.UNAUTHORIZED,
    DeviceLimitError: HTTPStatus.CONFLICT,
    DeviceRevokedError: HTTPStatus.CONFLICT,
    EnrolmentTokenError: HTTPStatus.FORBIDDEN,
    GatewayRequestError: HTTPStatus.UNAUTHORIZED,
    GatewayStateError: HTTPStatus.CONFLICT,
    KeySeenError: HTTPStatus.CONFLICT,
    OwnerInactiveError: HTTPStatus.FORBIDDEN,
    PoolExhaustedError: HTTPStatus.CONFLICT,
    QuarantineError: HTTPStatus.FORBIDDEN,
    ReplayError: HTTPStatus.CONFLICT,
}


def problem(status: HTTPStatus, detail: str) -> JsonResponse:
    """Return a problem document."""
    return JsonResponse(
        {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": detail,
        },
        status=status,
        content_type=CONTENT_TYPE,
    )


def refusal(error: PeerError) -> JsonResponse:
    """Return what the requester is told of a refusal.

    Who is not a gateway does not learn which check gave them away.
    """
    unknown = type(error) in {ClockError, GatewayRequestError}
    return problem(
        _STATUS.get(type(error), HTTPStatus.BAD_REQUEST),
        UNSIGNED if unknown else str(error),
    )
