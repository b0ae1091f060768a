"""What an enrolled gateway reports. Every request is signed (DESIGN §8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from peers.api.authentication import authenticate_gateway, gateway_actor
from peers.api.problems import refusal
from peers.errors import PeerError
from policies import services, signing
from policies.api.exchange import (
    document_of,
    json_answer,
    policy_problem,
    told_over,
)
from policies.compiler.canonical import Json, canonical_json
from policies.compiler.envelope import EVIDENCE_ACK_TYPE
from policies.errors import PolicyError
from policies.reports import parse_report
from policies.resolutions import parse_resolution
from policies.shown import parse_shown

if TYPE_CHECKING:
    from audit.http import PortalRequest
    from peers.models import Gateway

BATCH: Final = {"records", "spool"}
MALFORMED: Final = "malformed"


@csrf_exempt
@never_cache
@require_POST
def acks(request: HttpRequest) -> HttpResponse:
    """Record what the gateway did with a generation."""
    return told_over(
        request,
        "acks",
        parse_report,
        lambda report, **by: services.record_acknowledgement(report=report, **by),
    )


@csrf_exempt
@never_cache
@require_POST
def names(request: HttpRequest) -> HttpResponse:
    """Keep what the gateway's host names stand for at present."""
    return told_over(
        request,
        "names",
        parse_resolution,
        lambda found, **by: services.record_resolution(names=found, **by),
    )


@csrf_exempt
@never_cache
@require_POST
def revoked(request: HttpRequest) -> HttpResponse:
    """Take back what this portal had signed, from a gateway that it asked."""
    return told_over(
        request,
        "revoked",
        parse_shown,
        lambda shown, **by: services.take_shown(shown=shown, **by),
    )


@csrf_exempt
@never_cache
@require_POST
def evidence(request: HttpRequest) -> HttpResponse:
    """Take the gateway's records; sign for what is stored."""
    portal_request = cast("PortalRequest", request)
    now = portal_request.received_at
    try:
        gateway = authenticate_gateway(portal_request, channel="evidence", now=now)
        records, spool = _batch(document_of(portal_request))
        through = services.ingest_evidence(
            gateway=gateway,
            records=records,
            spool=spool,
            actor=gateway_actor(gateway, portal_request),
            now=now,
        )
        payload = canonical_json(_receipt(gateway, through, spool))
        receipt = signing.sign(EVIDENCE_ACK_TYPE, payload)
    except PeerError as exc:
        return refusal(exc)
    except PolicyError as exc:
        return policy_problem(exc)
    return json_answer(b'{"ack":' + receipt + b"}")


def _receipt(gateway: Gateway, through: int, spool: str) -> Json:
    receipt: dict[str, Json] = {"gateway": gateway.ref.id, "accepted_through": through}
    # An agent that does not name its spool knows no receipt that does.
    return {**receipt, "spool": spool} if spool else receipt


def _batch(document: object) -> tuple[object, str]:
    """Return the records of a batch and the name of its spool, as they were sent."""
    if isinstance(document, dict) and {"records"} <= document.keys() <= BATCH:
        spool = document.get("spool", "")
        return document["records"], spool if isinstance(spool, str) else MALFORMED
    # Anything else holds no list of records.
    return None, ""
