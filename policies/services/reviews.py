"""Answers to access requests: approvals, of which the last one grants, and refusals.

An approver is the application's owner, a member of its approver group, or an
administrator; never the requester, never an auditor. Where two approvals are needed
they come from two people who both may still approve when the second one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from audit.events import EventCode, Outcome
from policies.errors import (
    InvalidRequestError,
    PolicyError,
    RequestConflictError,
    ReviewRefusedError,
)
from policies.models import AccessRequest, RequestReview, RequestState
from policies.names import clean_description
from policies.request_selectors import may_review
from policies.services.grants import create_grant
from policies.services.requests import lock_person, lock_request, record_request
from portal.accounts.models import User

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor
    from audit.services import Json
    from policies.models import Grant


def approve_request(
    *,
    request: AccessRequest,
    reviewer: User,
    note: str = "",
    actor: Actor,
    now: datetime,
) -> AccessRequest:
    """Approve a request; with the last approval that it needs, its time begins.

    Raises:
        ReviewRefusedError: the person may not answer it.
        RequestConflictError: it was answered, by them or for good, or it expired.
        InvalidGrantError: the requester is disabled.
        InvalidNameError: the note is too long or not printable.
    """
    try:
        with transaction.atomic():
            held = _held(request, reviewer, now)
            _write(held, reviewer, note, now, is_approval=True)
            approvals, needed = _approvals(held), approvals_needed(held)
            details: dict[str, Json] = {
                "decision": "approve",
                "approvals": approvals,
                "needed": needed,
            }
            if approvals >= needed:
                grant = _grant(held, actor, now)
                _decide(held, RequestState.APPROVED, now, grant)
                details |= {"grant": grant.ref.id, "expires_at": _iso(grant)}
            record_request(
                EventCode.ACCESS_REQUEST_REVIEW,
                held,
                actor=actor,
                now=now,
                reason=clean_description(note),
                details=details,
            )
    except PolicyError as exc:
        _record_failure(request, "approve", exc, actor, now)
        raise
    return held


def refuse_request(
    *,
    request: AccessRequest,
    reviewer: User,
    note: str,
    actor: Actor,
    now: datetime,
) -> AccessRequest:
    """Refuse a request, with a word to the requester why. One refusal is enough.

    Raises:
        ReviewRefusedError: the person may not answer it.
        RequestConflictError: it was answered, by them or for good, or it expired.
        InvalidRequestError: no reason is given.
        InvalidNameError: the reason is too long or not printable.
    """
    try:
        with transaction.atomic():
            held = _held(request, reviewer, now)
            if not clean_description(note):
                msg = "say why; the requester reads it"
                raise InvalidRequestError(msg)
            _write(held, reviewer, note, now, is_approval=False)
            _decide(held, RequestState.REFUSED, now, None)
            record_request(
                EventCode.ACCESS_REQUEST_REVIEW,
                held,
                actor=actor,
                now=now,
                outcome=Outcome.REFUSED,
                reason=clean_description(note),
                details={"decision": "refuse"},
            )
    except PolicyError as exc:
        _record_failure(request, "refuse", exc, actor, now)
        raise
    return held


def approvals_needed(request: AccessRequest) -> int:
    """Return how many people must approve, by the application's rule of today."""
    return 2 if request.application.needs_two_approvals else 1


def _held(request: AccessRequest, reviewer: User, now: datetime) -> AccessRequest:
    lock_person(request.requester_id)
    held = lock_request(request.pk)
    if held.requester_id == reviewer.pk:
        msg = "nobody answers their own request"
        raise ReviewRefusedError(msg)
    # Read anew: a role or a group may be gone since the page was opened.
    if not may_review(User.objects.get(pk=reviewer.pk), held):
        msg = f"{reviewer} does not answer requests for {held.application}"
        raise ReviewRefusedError(msg)
    if not held.is_pending:
        msg = f"this request is {held.state} already"
        raise RequestConflictError(msg)
    if held.answer_by <= now:
        msg = "this request has run out of time; it can be made again"
        raise RequestConflictError(msg)
    return held


def _write(
    held: AccessRequest, reviewer: User, note: str, now: datetime, *, is_approval: bool
) -> None:
    try:
        with transaction.atomic():
            RequestReview.objects.create(
                request=held,
                reviewer=reviewer,
                is_approval=is_approval,
                note=clean_description(note),
                at=now,
            )
    except IntegrityError as exc:
        msg = f"{reviewer} has answered this request already"
        raise RequestConflictError(msg) from exc


def _approvals(held: AccessRequest) -> int:
    reviews = held.reviews.filter(is_approval=True).select_related("reviewer")
    return sum(may_review(review.reviewer, held) for review in reviews)


def _grant(held: AccessRequest, actor: Actor, now: datetime) -> Grant:
    return create_grant(
        application=held.application,
        user=held.requester,
        not_before=now,
        # Whole seconds, as people read it and as the kernel's clock is told.
        expires_at=(now + held.duration).replace(microsecond=0),
        reason=held.reason,
        actor=actor,
        now=now,
    )


def _decide(
    held: AccessRequest, state: RequestState, now: datetime, grant: Grant | None
) -> None:
    decided = AccessRequest.objects.filter(
        pk=held.pk, state=RequestState.PENDING, answer_by__gt=now
    ).update(state=state, decided_at=now, grant=grant)
    if not decided:
        msg = "this request has been answered meanwhile"
        raise RequestConflictError(msg)
    held.state, held.decided_at, held.grant = state, now, grant


def _iso(grant: Grant) -> str | None:
    return grant.expires_at.isoformat() if grant.expires_at else None


def _record_failure(
    request: AccessRequest,
    decision: str,
    error: PolicyError,
    actor: Actor,
    now: datetime,
) -> None:
    record_request(
        EventCode.ACCESS_REQUEST_REVIEW,
        request,
        actor=actor,
        now=now,
        outcome=Outcome.REFUSED,
        reason=str(error),
        details={"decision": decision, "error": type(error).__name__},
    )
