"""What an enrolled gateway says and hears. Every request is signed (DESIGN §8).

`snapshot` waits without a thread and without a connection: authentication and reading
run in a pool, and in between there is nothing but an entry in the notifier. A client
that goes away cancels the wait.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, cast

from django.conf import settings
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
)

from peers.api.authentication import (
    authenticate_gateway,
    gateway_actor,
    require_free,
)
from peers.api.problems import problem, refusal
from peers.errors import PeerError
from peers.selectors import free_gateways
from policies import notifier, selectors, services, signing
from policies.compiler.canonical import Json, canonical_json
from policies.compiler.envelope import EVIDENCE_ACK_TYPE
from policies.connections import Together, in_pool
from policies.deltas import LEAST_WHOLE, changed_envelope
from policies.errors import (
    AcknowledgementError,
    EvidenceError,
    PolicyError,
    SnapshotError,
)
from policies.leases import signed_lease
from policies.notices import news_for, positions, signed_notice
from policies.positions import parse_standing
from policies.reports import parse_notice_report, parse_report
from policies.resolutions import parse_resolution
from policies.shown import parse_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from audit.actor import Actor
    from audit.http import PortalRequest
    from peers.models import Gateway
    from policies.compiler.notice import Notice
    from policies.models import GatewayRecovery, Snapshot
    from policies.notifier import Position
    from policies.positions import Standing

logger = logging.getLogger(__name__)

Told = TypeVar("Told")
Value = TypeVar("Value")
_DELTAS: Final = threading.BoundedSemaphore(2)
BATCH: Final = {"records", "spool"}
MALFORMED: Final = "malformed"


@csrf_exempt
@never_cache
@require_GET
async def snapshot(request: HttpRequest) -> HttpResponse:
    """Return the snapshot beyond `after`, at once or when there is one, and a lease."""
    portal_request = cast("PortalRequest", request)
    try:
        gateway, standing, recovery = await in_pool(_begin)(portal_request)
        if recovery is None:
            await notifier.wait_for_newer(
                gateway.pk,
                standing.position,
                current=_position,
                seconds=_patience(),
            )
        now = datetime.now(UTC)  # noqa: TID251 -- the lease begins when it is given
        asked = Asked(gateway, standing, recovery, now)
        told = await _answers(asked)
        # Not among those who are answered together: it would hold them all up.
        changed = await in_pool(_changed)(asked, told) if told.is_long else None
        return _written(told, changed)
    except PeerError as exc:
        return refusal(exc)
    except PolicyError as exc:
        return _problem(exc)


@csrf_exempt
@never_cache
@require_http_methods(["GET", "POST"])
async def notices(request: HttpRequest) -> HttpResponse:
    """Return notices of revocation beyond `after`, or record that one is enforced.

    They have a request of their own to wait in: a snapshot that is on its way, or
    being applied, holds up no revocation (ADR-0019).
    """
    if request.method == "POST":
        return await in_pool(_noticed)(request)
    try:
        gateway, after = await in_pool(_asked)(cast("PortalRequest", request))
        await notifier.wait_for_notice(
            gateway.pk,
            (0, after),
            current=_notice_position,
            seconds=_patience(),
        )
        return await _notices((gateway, after))
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
def revoked(request: HttpRequest) -> HttpResponse:
    """Take back what this portal had signed, from a gateway that it asked."""
    return _told(
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


def _patience() -> float:
    """Return how long to wait: those whom one change woke do not all end at once."""
    longest: float = settings.PEERAGE_LONG_POLL_SECONDS
    return longest * random.uniform(0.8, 1.0)  # noqa: S311 -- jitter


def _begin(
    request: PortalRequest,
) -> tuple[Gateway, Standing, GatewayRecovery | None]:
    gateway, standing = _standing_of(request, "snapshot")
    actor, now = gateway_actor(gateway, request), request.received_at
    published = selectors.published(gateway)
    if published is None:
        # Its first poll since it enrolled.
        services.publish_snapshots(
            gateway_ids=[gateway.pk], cause="gateway.first_poll", actor=actor, now=now
        )
        published = selectors.published(gateway)
    recovery = services.note_standing(
        gateway=gateway, standing=standing, published=published, actor=actor, now=now
    )
    return gateway, standing, recovery


def _asked(request: PortalRequest) -> tuple[Gateway, int]:
    """Return who asks for notices, and beyond which number."""
    gateway, standing = _standing_of(request, "notices")
    return gateway, standing.generation


def _standing_of(request: PortalRequest, channel: str) -> tuple[Gateway, Standing]:
    """Return who polls a channel, and what it has; what is malformed is an event."""
    now = request.received_at
    gateway = authenticate_gateway(request, channel=channel, now=now)
    actor = gateway_actor(gateway, request)
    standing = _parsed(
        parse_standing,
        request.GET.dict(),
        gateway=gateway,
        channel=channel,
        actor=actor,
        now=now,
    )
    return gateway, standing


def _parsed(
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
        told = _parsed(
            parse,
            _document(portal_request),
            gateway=gateway,
            channel=channel,
            actor=actor,
            now=now,
        )
        keep(told, gateway=gateway, actor=actor, now=now)
    except PeerError as exc:
        return refusal(exc)
    except PolicyError as exc:
        return _problem(exc)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


class Asked(NamedTuple):
    """Who has waited for what is after what it has, and is answered now."""

    gateway: Gateway
    standing: Standing
    recovery: GatewayRecovery | None
    now: datetime


class Reply(NamedTuple):
    """What is answered; the envelope of a snapshot, if there is a newer one."""

    lease: bytes
    envelope: str | None
    more: bytes

    @property
    def is_long(self) -> bool:
        """Whether it may be worth to say only what changed."""
        return self.envelope is not None and len(self.envelope) >= LEAST_WHOLE


def _answer_all(asked: Sequence[Asked]) -> list[Reply | Exception]:
    """Answer everybody whom one change has woken, with one look at the database."""
    beyond: dict[int, Position] = {}
    for one in asked:
        after = one.standing.position
        beyond[one.gateway.pk] = min(after, beyond.get(one.gateway.pk, after))
    free = free_gateways(beyond)
    current = selectors.current_snapshots(beyond)
    answers: list[Reply | Exception] = []
    for one in asked:
        try:
            # It was authenticated before it waited; what came to light since counts.
            require_free(one.gateway, among=free)
            answers.append(_answer(one, current.get(one.gateway.pk)))
        except (PeerError, PolicyError) as exc:
            answers.append(exc)
    return answers


def _positions(gateway_ids: Sequence[int]) -> list[Position | Exception]:
    found = selectors.published_positions(gateway_ids)
    return [found.get(pk, selectors.NOTHING) for pk in gateway_ids]


_position: Final = Together(_positions)
_answers: Final = Together(_answer_all)


def _answer(asked: Asked, current: Snapshot | None) -> Reply:
    if current is None:
        msg = "there is no policy for this gateway that compiles"
        raise SnapshotError(msg)
    is_newer = (current.epoch, current.generation) > asked.standing.position
    return Reply(
        lease=signed_lease(current, now=asked.now),
        envelope=current.envelope if is_newer else None,
        more=b"" if asked.recovery is None else _recovering(asked.recovery),
    )


def _changed(asked: Asked, told: Reply) -> bytes | None:
    """Return what changed since the snapshot that is held, if it may (ADR-0022)."""
    standing = asked.standing
    if not standing.takes_delta or standing.holds is None or told.envelope is None:
        return None
    # Who comes while others are being worked out gets the whole, which is at hand.
    if not _DELTAS.acquire(blocking=False):
        return None
    try:
        before = selectors.envelope_of(asked.gateway, standing.holds)
        return changed_envelope(before, told.envelope) if before else None
    finally:
        _DELTAS.release()


def _written(told: Reply, changed: bytes | None) -> HttpResponse:
    if changed is not None:
        news = b'null,"delta":' + changed
    else:
        # The stored envelope is JSON already, and may be megabytes.
        news = b"null" if told.envelope is None else told.envelope.encode()
    return _json(b'{"lease":' + told.lease + b',"snapshot":' + news + told.more + b"}")


def _recovering(recovery: GatewayRecovery) -> bytes:
    """Return what a gateway that is ahead is told besides (ADR-0021)."""
    if recovery.step:
        return b',"epoch":' + recovery.step.encode()
    is_asked = recovery.asked_at and not recovery.shown_at and not recovery.is_left_out
    return b',"ask":"revoked"' if is_asked else b""


def _all_notices(
    asked: Sequence[tuple[Gateway, int]],
) -> list[HttpResponse | Exception]:
    """Give everybody whom one notice has woken what is news to them."""
    now = datetime.now(UTC)  # noqa: TID251 -- it is written in a moment
    free = free_gateways([gateway.pk for gateway, _ in asked])
    answers: list[HttpResponse | Exception] = []
    for (gateway, _), news in zip(asked, news_for(asked, now=now), strict=True):
        try:
            require_free(gateway, among=free)
            answers.append(_noticing(gateway, news, now))
        except (PeerError, PolicyError) as exc:
            answers.append(exc)
    return answers


def _noticing(gateway: Gateway, news: Sequence[Notice], now: datetime) -> HttpResponse:
    body = b'{"notices":[' + b",".join(map(signed_notice, news)) + b"]}"
    if not news:
        return _json(body)
    note = partial(
        services.note_notified, gateway=gateway, number=news[-1].number, now=now
    )
    return Followed(note, body)


def _notice_positions(gateway_ids: Sequence[int]) -> list[Position | Exception]:
    now = datetime.now(UTC)  # noqa: TID251 -- what is news now
    found = positions(gateway_ids, now=now)
    return [found[pk] for pk in gateway_ids]


_notice_position: Final = Together(_notice_positions)
_notices: Final = Together(_all_notices)


def _noticed(request: HttpRequest) -> HttpResponse:
    answer = _told(
        request,
        "notices",
        parse_notice_report,
        lambda report, **by: services.record_notice_report(report=report, **by),
    )
    if answer.status_code != HTTPStatus.NO_CONTENT:
        return answer

    def publish() -> None:
        now = datetime.now(UTC)  # noqa: TID251 -- after the request
        services.publish_answered(now=now)

    return Followed(publish, status=HTTPStatus.NO_CONTENT)


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
