"""Reading access requests, and their one gate.

A requester sees their own, an approver those of the applications they answer for,
readers see all; to everybody else a request does not exist (404). What one may see but
not do is 403. An auditor changes nothing, so answers nothing, whatever their groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db.models import Count, Exists, OuterRef, Q
from django.http import Http404

from policies.models import AccessRequest, Application, RequestReview, RequestState
from policies.selectors import live_grants_of
from portal.accounts.models import Membership

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from portal.accounts.models import User


def reviewable_by(user: User) -> QuerySet[Application]:
    """Return the applications whose requests a person answers; not a gate."""
    if not user.may_change:
        return Application.objects.none()
    if user.is_administrator:
        return Application.objects.order_by()
    groups = Membership.objects.filter(user=user).values("group")
    return Application.objects.order_by().filter(
        Q(owner=user) | Q(approver_group__in=groups)
    )


def may_review(user: User, request: AccessRequest) -> bool:
    """Return whether a person may answer a request: never the requester."""
    if request.requester_id == user.pk:
        return False
    return reviewable_by(user).filter(pk=request.application_id).exists()


def may_end(user: User, request: AccessRequest) -> bool:
    """Return whether a person may end what was granted: also who asked for it."""
    return may_cancel(user, request) or may_review(user, request)


def may_cancel(user: User, request: AccessRequest) -> bool:
    """Return whether a person may take back what they asked for."""
    return user.may_change and request.requester_id == user.pk


def list_requests_for(user: User) -> QuerySet[AccessRequest]:
    """Return the requests a person may see, newest first."""
    rows = AccessRequest.objects.select_related("requester", "application", "grant")
    if user.is_reader:
        return rows
    return rows.filter(Q(requester=user) | Q(application__in=reviewable_by(user)))


def get_request_for(user: User, request_id: int) -> AccessRequest:
    """Return a request to those who may see it."""
    found = list_requests_for(user).filter(pk=request_id).first()
    if found is None:
        raise Http404
    return found


def get_request_to_review_for(user: User, request_id: int) -> AccessRequest:
    """Return a request to those who may answer it."""
    return _allowed(found := get_request_for(user, request_id), may_review(user, found))


def get_request_to_cancel_for(user: User, request_id: int) -> AccessRequest:
    """Return a request to the person who made it."""
    return _allowed(found := get_request_for(user, request_id), may_cancel(user, found))


def get_request_to_end_for(user: User, request_id: int) -> AccessRequest:
    """Return a request to those who may end what it was granted."""
    return _allowed(found := get_request_for(user, request_id), may_end(user, found))


def list_own_requests(user: User) -> QuerySet[AccessRequest]:
    """Return what a person asked for, newest first."""
    return list_requests_for(user).filter(requester=user)


def list_requests_to_review_for(
    user: User, *, now: datetime
) -> QuerySet[AccessRequest]:
    """Return what waits for a person's answer, longest waiting first."""
    answered = RequestReview.objects.filter(request=OuterRef("pk"), reviewer=user)
    return (
        list_requests_for(user)
        .filter(
            ~Exists(answered),
            state=RequestState.PENDING,
            answer_by__gt=now,
            application__in=reviewable_by(user),
        )
        .exclude(requester=user)
        .annotate(approvals=Count("reviews", filter=Q(reviews__is_approval=True)))
        .order_by("requested_at", "pk")
    )


def list_requestable_for(user: User, *, now: datetime) -> QuerySet[Application]:
    """Return what a person may ask for, by name, and whether they need to."""
    pending = AccessRequest.objects.filter(
        requester=user, application=OuterRef("pk"), state=RequestState.PENDING
    )
    granted = live_grants_of(user, now=now).filter(application=OuterRef("pk"))
    return Application.objects.filter(is_requestable=True).annotate(
        is_asked=Exists(pending), is_granted=Exists(granted)
    )


def get_requestable_for(
    user: User, application_id: int, *, now: datetime
) -> Application:
    """Return an application that a person may ask for; others do not exist here."""
    found = list_requestable_for(user, now=now).filter(pk=application_id).first()
    if found is None:
        raise Http404
    return found


def _allowed(found: AccessRequest, is_allowed: bool) -> AccessRequest:  # noqa: FBT001 -- says whether
    if not is_allowed:
        raise PermissionDenied
    return found
