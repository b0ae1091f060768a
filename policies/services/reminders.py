"""Mail about requests: to approvers, to the requester, and before an end.

Each row is claimed by a conditional UPDATE before its mail is sent, so that of several
workers one writes. What could not be sent is released and tried again; approvers are
written to again anyway as long as a request waits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from django.conf import settings
from django.db.models import Q

from policies.durations import in_words
from policies.mail import Letter, deliver
from policies.models import AccessRequest, Application, RequestState
from policies.services.reviews import approvals_needed
from portal.accounts.models import ADMINISTRATORS, Membership, Role, User

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

Write: TypeAlias = "Callable[[AccessRequest], Letter]"

BATCH: Final = 200
TOLD: Final = (RequestState.APPROVED, RequestState.REFUSED, RequestState.EXPIRED)
STILL_NEWS: Final = timedelta(days=1)
"""An answer that could not be mailed for so long is left to the page."""


def remind_approvers(*, now: datetime) -> int:
    """Write to approvers about what waits, at once and then daily; return to how many.

    One mail a person, however many requests wait for them.
    """
    again = now - timedelta(hours=settings.PEERAGE_REQUEST_REMINDER_HOURS)
    due = AccessRequest.objects.filter(
        Q(reminded_at__isnull=True) | Q(reminded_at__lte=again),
        state=RequestState.PENDING,
        answer_by__gt=now,
    ).prefetch_related("reviews")
    waiting: defaultdict[User, list[AccessRequest]] = defaultdict(list)
    claimed = _claim(due, "reminded_at", now)
    for request, people in _approvers(claimed):
        for person in people:
            waiting[person].append(request)
    letters = [
        Letter(
            to=person,
            template="request_waiting",
            values={"requests": [*map(_waiting, rows)], "count": _count(len(rows))},
        )
        for person, rows in waiting.items()
    ]
    return len(letters) - len(deliver(letters))


def tell_requesters(*, now: datetime) -> int:
    """Write to requesters what was answered; return to how many."""
    due = AccessRequest.objects.filter(
        state__in=TOLD, answer_told_at__isnull=True, decided_at__gt=now - STILL_NEWS
    ).prefetch_related("reviews__reviewer")
    return _tell(_claim(due, "answer_told_at", now), "answer_told_at", _answer)


def remind_of_ends(*, now: datetime) -> int:
    """Write to people whose access ends soon; return to how many.

    A short access is not announced a day ahead: at most a quarter of its time.
    """
    notice = timedelta(hours=settings.PEERAGE_REQUEST_END_NOTICE_HOURS)
    ending = AccessRequest.objects.filter(
        state=RequestState.APPROVED,
        end_told_at__isnull=True,
        grant__ended_at__isnull=True,
        grant__expires_at__gt=now,
        grant__expires_at__lte=now + notice,
    )
    soon = [
        row.pk
        for row in ending.select_related("grant")[:BATCH]
        if row.grant
        and row.grant.expires_at
        and row.grant.expires_at - now <= min(notice, row.duration / 4)
    ]
    due = AccessRequest.objects.filter(pk__in=soon, end_told_at__isnull=True)
    return _tell(_claim(due, "end_told_at", now), "end_told_at", _ending)


def _claim(
    due: QuerySet[AccessRequest], field: str, now: datetime
) -> list[AccessRequest]:
    rows = due.select_related("requester", "application", "grant").order_by("pk")
    return [
        row
        for row in rows[:BATCH]
        if AccessRequest.objects.filter(
            pk=row.pk, state=row.state, **{field: getattr(row, field)}
        ).update(**{field: now})
    ]


def _tell(rows: Iterable[AccessRequest], field: str, write: Write) -> int:
    """Send one letter a row; release the rows whose letter did not go out."""
    letters = [(write(row), row) for row in rows]
    failed = deliver(letter for letter, _ in letters)
    lost = [row.pk for letter, row in letters if letter in failed]
    AccessRequest.objects.filter(pk__in=lost).update(**{field: None})
    return len(letters) - len(lost)


def _approvers(
    rows: Iterable[AccessRequest],
) -> Iterable[tuple[AccessRequest, Sequence[User]]]:
    """Return who may still answer each; administrators where too few are named."""
    named: dict[int, Sequence[User]] = {}
    administrators = [*User.objects.filter(is_active=True, role__in=ADMINISTRATORS)]
    for row in rows:
        if row.application_id not in named:
            named[row.application_id] = [*_named(row.application)]
        done = {row.requester_id, *(review.reviewer_id for review in row.reviews.all())}
        left = [person for person in named[row.application_id] if person.pk not in done]
        if len(left) < approvals_needed(row) - (len(done) - 1):
            left += administrators
        yield row, [*{p.pk: p for p in left if p.pk not in done}.values()]


def _named(application: Application) -> QuerySet[User]:
    groups = [application.approver_group_id] if application.approver_group_id else []
    members = Membership.objects.filter(group__in=groups).values("user")
    return User.objects.filter(
        Q(pk=application.owner_id) | Q(pk__in=members), is_active=True
    ).exclude(role=Role.AUDITOR)


def _waiting(request: AccessRequest) -> Mapping[str, object]:
    return {
        "requester": request.requester,
        "application": request.application,
        "reason": request.reason,
        "time": in_words(request.duration),
        "answer_by": request.answer_by,
        "path": f"/requests/{request.pk}/",
    }


def _count(requests: int) -> str:
    return "1 request is" if requests == 1 else f"{requests} requests are"


def _answer(request: AccessRequest) -> Letter:
    return Letter(
        to=request.requester,
        template="request_answered",
        values={
            "application": request.application,
            "state": request.state,
            "until": request.grant.expires_at if request.grant else None,
            "expired": request.state == RequestState.EXPIRED,
            "reviews": [*request.reviews.all()],
            "path": f"/requests/{request.pk}/",
        },
    )


def _ending(request: AccessRequest) -> Letter:
    return Letter(
        to=request.requester,
        template="access_ending",
        values={
            "application": request.application,
            "until": request.grant.expires_at if request.grant else None,
        },
    )
