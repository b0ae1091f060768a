"""What an enrolled gateway says and hears. Every request is signed (DESIGN §8).

`snapshot` waits without a thread and without a connection: authentication and reading
run in a pool, and in between there is nothing but an entry in the notifier. A client
that goes away cancels the wait.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from peers.api.authentication import (
    authenticate_gateway,
    gateway_actor,
    require_free,
)
from peers.api.problems import problem, refusal
from peers.errors import PeerError
from policies import notifier, selectors, services, signing
from policies.compiler.canonical import Json, canonical_json
from policies.compiler.envelope import EVIDENCE_ACK_TYPE
from policies.connections import in_pool
from policies.errors import (
    AcknowledgementError,
    EvidenceError,
    PolicyError,
    SnapshotError,
)
from policies.leases import signed_lease
from policies.reports import parse_report
from policies.resolutions import parse_resolution

if TYPE_CHECKING:
    from collections.abc import Callable

    from audit.http import PortalRequest
    from peers.models import Gateway
    from policies.notifier import Position

Told = TypeVar("Told")
BATCH: Final = {"records", "spool"}
MALFORMED: Final = "malformed"
NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


@csrf_exempt
@never_cache
@require_GET
async def snapshot(request: HttpRequest) -> HttpResponse:
    """Return the snapshot beyond `after`, at once or when there is one, and a lease."""
    portal_request = cast("PortalRequest", request)
    try:
        gateway, after = await in_pool(_begin)(portal_request)
        await notifier.wait_for_newer(
            gateway.pk,
            after,
            current=selectors.published_position,
            seconds=settings.PEERAGE_LONG_POLL_SECONDS,
        )
        now = datetime.now(UTC)  # noqa: TID251 -- the lease begins when it is given
        return await in_pool(_answer)(gateway, after, now)
    except PeerError as exc:
        return refusal(exc)
    except PolicyError as exc:
        return _problem(exc)


@csrf_exempt
@never_cache
@require_POST
def acks(request: HttpRequest) -> HttpResponse:
    """Record what the gateway did with a generation."""
    return _told(
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
    return _told(
        request,
        "names",
        parse_resolution,
        lambda found, **by: services.record_resolution(names=found, **by),
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
        records, spool = _batch(_document(portal_request))
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
        return _problem(exc)
    return _json(b'{"ack":' + receipt + b"}")


def _begin(request: PortalRequest) -> tuple[Gateway, Position]:
    now = request.received_at
    gateway = authenticate_gateway(request, channel="snapshot", now=now)
    epoch, after = request.GET.get("epoch", ""), request.GET.get("after", "")
    if not (NUMBER.fullmatch(epoch) and NUMBER.fullmatch(after)):
        msg = "a poll says after=GENERATION and epoch=EPOCH"
        services.refuse_gateway_request(
            gateway=gateway,
            channel="snapshot",
            reason=msg,
            actor=gateway_actor(gateway, request),
            now=now,
        )
        raise AcknowledgementError(msg)
    if selectors.published_position(gateway.pk) == selectors.NOTHING:
        # Its first poll since it enrolled.
        services.publish_snapshots(
            gateway_ids=[gateway.pk],
            cause="gateway.first_poll",
            actor=gateway_actor(gateway, request),
            now=now,
        )
    return gateway, (int(epoch), int(after))


def _told(
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
        try:
            told = parse(_document(portal_request))
        except AcknowledgementError as exc:
            services.refuse_gateway_request(
                gateway=gateway, channel=channel, reason=str(exc), actor=actor, now=now
            )
            raise
        keep(told, gateway=gateway, actor=actor, now=now)
    except PeerError as exc:
        return refusal(exc)
    except PolicyError as exc:
        return _problem(exc)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _answer(gateway: Gateway, after: Position, now: datetime) -> HttpResponse:
    # It was authenticated before it waited; what came to light since counts.
    require_free(gateway)
    current = selectors.current_snapshot(gateway.pk)
    if current is None:
        msg = "there is no policy for this gateway that compiles"
        raise SnapshotError(msg)
    is_newer = (current.epoch, current.generation) > after
    # The stored envelope is JSON already, and may be megabytes.
    envelope = current.envelope.encode() if is_newer else b"null"
    lease = signed_lease(current, now=now)
    return _json(b'{"lease":' + lease + b',"snapshot":' + envelope + b"}")


def _document(request: PortalRequest) -> object:
    try:
        document: object = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return document


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


def _json(body: bytes) -> HttpResponse:
    return HttpResponse(body, content_type="application/json")


def _problem(error: PolicyError) -> HttpResponse:
    match error:
        case AcknowledgementError() | EvidenceError():
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        case _:
            # The portal's own trouble, a key or a policy: the gateway tries again.
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
