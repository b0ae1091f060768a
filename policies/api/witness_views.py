"""Gateways as witnesses: what a log has become, and what they say of it (ADR-0031)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from audit import witnesses
from audit.errors import SealError
from peers.api.authentication import authenticate_gateway, gateway_actor
from peers.api.problems import problem, refusal
from peers.errors import PeerError
from policies import services
from policies.api.exchange import json_answer, parsed, policy_problem, told_over
from policies.errors import PolicyError
from policies.witnessing import parse_asked, parse_told

if TYPE_CHECKING:
    from audit.http import PortalRequest

CHANNEL = "witness"


@csrf_exempt
@never_cache
@require_http_methods(["GET", "POST"])
def witness(request: HttpRequest) -> HttpResponse:
    """Show how a log goes on, or keep what a gateway says of it."""
    if request.method == "POST":
        return told_over(
            request,
            CHANNEL,
            parse_told,
            lambda told, **by: services.hear_witness(told=told, **by),
        )
    asking = cast("PortalRequest", request)
    now = asking.received_at
    try:
        gateway = authenticate_gateway(asking, channel=CHANNEL, now=now)
        asked = parsed(
            parse_asked,
            request.GET.dict(),
            gateway=gateway,
            channel=CHANNEL,
            actor=gateway_actor(gateway, asking),
            now=now,
        )
        shown = witnesses.shown(asked.log, old=asked.old, now=now)
    except PeerError as exc:
        return refusal(exc)
    except PolicyError as exc:
        return policy_problem(exc)
    except SealError as exc:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(exc))
    if shown is None:
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    document = {"key": shown.key, "request": shown.request.decode()}
    return json_answer(json.dumps(document).encode())
