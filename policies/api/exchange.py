"""What the gateways' views have in common: who says what over which channel."""

from __future__ import annotations

import json
import logging
import random
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar, cast

from django.conf import settings
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse

from peers.api.authentication import authenticate_gateway, gateway_actor
from peers.api.problems import problem, refusal
from peers.errors import PeerError
from policies import services
from policies.errors import AcknowledgementError, EvidenceError, PolicyError
from policies.positions import parse_standing

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from audit.actor import Actor
    from audit.http import PortalRequest
    from peers.models import Gateway
    from policies.positions import Standing

logger = logging.getLogger(__name__)

Told = TypeVar("Told")
Value = TypeVar("Value")


def standing_of(request: PortalRequest, channel: str) -> tuple[Gateway, Standing]:
    """Return who polls a channel, and what it has; what is malformed is an event."""
    now = request.received_at
    gateway = authenticate_gateway(request, channel=channel, now=now)
    actor = gateway_actor(gateway, request)
    standing = parsed(
        parse_standing,
        request.GET.dict(),
        gateway=gateway,
        channel=channel,
        actor=actor,
        now=now,
    )
    return gateway, standing


def told_over(
    request: HttpRequest,
    channel: str,
    parse: Callable[[object], Told],
    keep: Callable[..., object],
) -> HttpResponse:
    """Keep what a gateway tells over a channel; what is malformed is an event."""
    portal_request = cast("PortalRequest", request)
    now = portal_request.received_at
    try:
        gateway = authenticate_gateway(portal_request, channel=channel, now=now)
        actor = gateway_actor(gateway, portal_request)
        told = parsed(
            parse,
            document_of(portal_request),
            gateway=gateway,
            channel=channel,
            actor=actor,
            now=now,
        )
        keep(told, gateway=gateway, actor=actor, now=now)
    except PeerError as exc:
        return refusal(exc)
    except PolicyError as exc:
        return policy_problem(exc)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def parsed(
    parse: Callable[[Value], Told],
    value: Value,
    *,
    gateway: Gateway,
    channel: str,
    actor: Actor,
    now: datetime,
) -> Told:
    """Return what a gateway said, parsed; what is malformed is an event."""
    try:
        return parse(value)
    except AcknowledgementError as exc:
        services.refuse_gateway_request(
            gateway=gateway, channel=channel, reason=str(exc), actor=actor, now=now
        )
        raise


class Followed(HttpResponse):
    """An answer after which something is done that nobody shall wait for."""

    def __init__(
        self,
        afterwards: Callable[[], object],
        content: bytes = b"",
        *,
        status: int = HTTPStatus.OK,
    ) -> None:
        """Answer, then call `afterwards`, which may fail."""
        super().__init__(content, content_type="application/json", status=status)
        self._afterwards: Callable[[], object] | None = afterwards

    def close(self) -> None:
        """Do it: the answer has been sent."""
        afterwards, self._afterwards = self._afterwards, None
        if afterwards is not None:
            try:
                afterwards()
            except Exception:
                logger.exception("what follows an answer failed")
            # Whoever closes an answer may do it in a thread where no request ends.
            close_old_connections()
        super().close()


def patience() -> float:
    """Return how long to wait: those whom one change woke do not all end at once."""
    longest: float = settings.PEERAGE_LONG_POLL_SECONDS
    return longest * random.uniform(0.8, 1.0)  # noqa: S311 -- jitter


def document_of(request: PortalRequest) -> object:
    """Return what a request says; None if it is no JSON."""
    try:
        document: object = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return document


def json_answer(body: bytes) -> HttpResponse:
    """Answer with what is JSON already."""
    return HttpResponse(body, content_type="application/json")


def policy_problem(error: PolicyError) -> HttpResponse:
    """Answer a refusal as a problem."""
    match error:
        case AcknowledgementError() | EvidenceError():
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        case _:
            # The portal's own trouble, a key or a policy: the gateway tries again.
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
