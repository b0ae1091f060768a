"""Access requests: made, taken back, run out. Answers are in `reviews`.

Who changes a request locks its requester first and the request second, as a revocation
does, so that nobody is granted anything while they are being disabled. A row's state
changes by a conditional UPDATE, once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import IntegrityError, transaction

from audit.actor import SYSTEM, Ref
from audit.events import EventCode, Outcome
from audit.services import record
from policies.durations import SECOND, checked_duration
from policies.errors import (
    InvalidNameError,
    InvalidRequestError,
    PolicyError,
    RequestConflictError,
)
from policies.models import AccessRequest, Application, RequestState
from policies.names import clean_description
from policies.services.grants import end_grant
from policies.services.publishing import hold_users
from portal.accounts.models import User

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from django.db.models import QuerySet

    from audit.actor import Actor
    from audit.services import Json

BATCH: Final = 1000


def request_access(
    *,
    application: Application,
    requester: User,
    reason: str,
    duration: timedelta,
    actor: Actor,
    now: datetime,
) -> AccessRequest:
    """Ask for an application, for a time that begins when somebody approves.

    Raises:
        InvalidRequestError: nobody may ask for it, the person is disabled, or the
            duration is out of bounds.
        InvalidNameError: the reason is empty, too long or not printable.
        RequestConflictError: the person is waiting for an answer already.
    """
    try:
        with transaction.atomic():
            person = lock_person(requester.pk)
            _check_subject(person, application)
            made = _create(
                AccessRequest(
                    requester=person,
                    application=application,
                    reason=_checked_reason(reason),
                    duration=checked_duration(duration),
                    requested_at=now,
                    answer_by=now + answer_time(),
                ),
                now,
            )
            record_request(
                EventCode.ACCESS_REQUEST_CREATE,
                made,
                actor=actor,
                now=now,
                reason=made.reason,
                details={
                    "duration_seconds": made.duration // SECOND,
                    "answer_by": made.answer_by.isoformat(),
                },
            )
    except PolicyError as exc:
        record(
            EventCode.ACCESS_REQUEST_CREATE,
            actor=actor,
            now=now,
            outcome=Outcome.REFUSED,
            person=requester.ref,
            application=application.ref,
            target=Ref(id="", label=f"{requester} → {application}"),
            reason=str(exc),
        )
        raise
    return made


def cancel_request(
    *, request: AccessRequest, actor: Actor, now: datetime
) -> AccessRequest:
    """Take back a request that nobody has answered.

    Raises:
        RequestConflictError: it has been answered, or it expired.
    """
    with transaction.atomic():
        lock_person(request.requester_id)
        if not _cancel(request, "taken back", actor, now):
            request.refresh_from_db()
            msg = f"this request is {request.state} already"
            raise RequestConflictError(msg)
    return request


@transaction.atomic
def cancel_requests_of(
    *, users: Collection[User], reason: str, actor: Actor, now: datetime
) -> list[AccessRequest]:
    """Take back whatever people still wait for; again is safe."""
    hold_users([user.pk for user in users])
    pending = AccessRequest.objects.filter(
        requester__in=users, state=RequestState.PENDING
    )
    rows = pending.select_related("requester", "application").order_by("pk")
    return [row for row in rows if _cancel(row, reason, actor, now)]


@transaction.atomic
def end_requested_access(
    *, request: AccessRequest, actor: Actor, now: datetime
) -> AccessRequest:
    """End what a request was granted before its time; again is safe.

    Raises:
        RequestConflictError: nothing was granted.
    """
    lock_person(request.requester_id)
    held = lock_request(request.pk)
    if held.grant is None:
        msg = f"this request is {held.state}; there is nothing to end"
        raise RequestConflictError(msg)
    ends = held.grant.expires_at
    if held.grant.ended_at is None and (ends is None or ends > now):
        end_grant(grant=held.grant, actor=actor, now=now)
        _record_cancelled(held, "ended before its time", actor, now)
    return held


def expire_requests(*, now: datetime) -> int:
    """End the wait of requests that nobody answered in time; return how many."""
    return _expire(AccessRequest.objects.filter(answer_by__lte=now), now)


def answer_time() -> timedelta:
    """Return how long a request waits for its answer."""
    return timedelta(days=settings.PEERAGE_REQUEST_ANSWER_DAYS)


def lock_person(user_id: int) -> User:
    """Lock a person against being disabled meanwhile; return them as they are."""
    # no_key: others may go on naming the person, and no two ever wait in a circle.
    rows = User.objects.select_for_update(no_key=True).filter(pk=user_id)
    return User.objects.get(pk=rows.values_list("pk", flat=True).get())


def lock_request(request_id: int) -> AccessRequest:
    """Lock a request and return it as it is."""
    rows = AccessRequest.objects.select_for_update(no_key=True).filter(pk=request_id)
    # A second statement: PostgreSQL reads again what it had to wait for, but not what
    # is joined to it.
    return AccessRequest.objects.select_related(
        "requester", "application", "grant"
    ).get(pk=rows.order_by().values_list("pk", flat=True).get())


def record_request(
    code: EventCode,
    request: AccessRequest,
    *,
    actor: Actor,
    now: datetime,
    outcome: Outcome = Outcome.DONE,
    reason: str = "",
    details: dict[str, Json] | None = None,
) -> None:
    """Write an event about a request."""
    record(
        code,
        actor=actor,
        now=now,
        outcome=outcome,
        person=request.requester.ref,
        application=request.application.ref,
        target=request.ref,
        reason=reason,
        details=details,
    )


def _check_subject(person: User, application: Application) -> None:
    if not person.is_active:
        msg = f"{person} is disabled"
        raise InvalidRequestError(msg)
    if not Application.objects.filter(pk=application.pk, is_requestable=True).exists():
        msg = f"{application} is not given on request"
        raise InvalidRequestError(msg)


def _checked_reason(text: str) -> str:
    reason = clean_description(text)
    if not reason:
        msg = "say why you need it"
        raise InvalidNameError(msg)
    return reason


def _create(request: AccessRequest, now: datetime) -> AccessRequest:
    same = AccessRequest.objects.filter(
        requester=request.requester, application=request.application
    )
    # One that ran out and that no sweep has seen yet is not in the way.
    _expire(same.filter(answer_by__lte=now), now)
    try:
        with transaction.atomic():
            request.save()
    except IntegrityError as exc:
        msg = f"you are waiting for an answer about {request.application} already"
        raise RequestConflictError(msg) from exc
    return request


def _cancel(request: AccessRequest, reason: str, actor: Actor, now: datetime) -> bool:
    if not AccessRequest.objects.filter(
        pk=request.pk, state=RequestState.PENDING
    ).update(state=RequestState.CANCELLED, decided_at=now):
        return False
    request.state, request.decided_at = RequestState.CANCELLED, now
    _record_cancelled(request, reason, actor, now)
    return True


def _record_cancelled(
    request: AccessRequest, reason: str, actor: Actor, now: datetime
) -> None:
    record_request(
        EventCode.ACCESS_REQUEST_CANCEL,
        request,
        actor=actor,
        now=now,
        reason=reason,
        details={"grant": request.grant.ref.id if request.grant else None},
    )


def _expire(rows: QuerySet[AccessRequest], now: datetime) -> int:
    due = rows.filter(state=RequestState.PENDING).order_by("pk")
    found = due.select_related("requester", "application")[:BATCH]
    return sum(_expire_one(request, now) for request in found)


@transaction.atomic
def _expire_one(request: AccessRequest, now: datetime) -> bool:
    if not AccessRequest.objects.filter(
        pk=request.pk, state=RequestState.PENDING, answer_by__lte=now
    ).update(state=RequestState.EXPIRED, decided_at=now):
        return False
    record_request(EventCode.ACCESS_REQUEST_EXPIRE, request, actor=SYSTEM, now=now)
    return True
