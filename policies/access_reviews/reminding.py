"""Mail about reviews, and the event that says that one is overdue.

Reviewers are written to when a review starts, some days before it is due, and daily
when it is overdue, as long as something waits for them. A campaign is claimed by a
conditional UPDATE before its mail is sent, so that of several workers one writes; when
no mail at all went out it is released, and tried again.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q

from audit.actor import SYSTEM
from audit.events import EventCode, Outcome
from audit.services import record
from policies.mail import Letter, deliver
from policies.models import CampaignState, ReviewAssignment, ReviewCampaign, ReviewItem
from portal.accounts.models import Role, User

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

BATCH: Final = 100
DAILY: Final = timedelta(days=1)


def remind_reviewers(*, now: datetime) -> int:
    """Write to those for whom a review waits; return how many letters went out."""
    notice = timedelta(days=settings.PEERAGE_REVIEW_NOTICE_DAYS)
    due = ReviewCampaign.objects.filter(
        Q(told_at__isnull=True)
        | Q(due_at__lte=now + notice, told_at__lt=F("due_at") - notice)
        | Q(due_at__lte=now, told_at__lt=F("due_at"))
        | Q(due_at__lte=now, told_at__lte=now - DAILY),
        state=CampaignState.OPEN,
    )
    return sum(_remind(row, now) for row in due.order_by("pk")[:BATCH])


def report_overdue(*, now: datetime) -> int:
    """Record each open review whose due date is past, once; return how many."""
    due = ReviewCampaign.objects.filter(
        state=CampaignState.OPEN, due_at__lte=now, overdue_at__isnull=True
    )
    return sum(_report(row, now) for row in due.order_by("pk")[:BATCH])


@transaction.atomic
def _report(campaign: ReviewCampaign, now: datetime) -> bool:
    if not ReviewCampaign.objects.filter(
        pk=campaign.pk, state=CampaignState.OPEN, overdue_at__isnull=True
    ).update(overdue_at=now):
        return False
    undecided = ReviewItem.objects.filter(campaign=campaign, decision="")
    record(
        EventCode.REVIEW_OVERDUE,
        actor=SYSTEM,
        now=now,
        outcome=Outcome.ALERT,
        target=campaign.ref,
        details={
            "due_at": campaign.due_at.isoformat(),
            "undecided": undecided.count(),
        },
    )
    return True


def _remind(campaign: ReviewCampaign, now: datetime) -> int:
    before = campaign.told_at
    mine = ReviewCampaign.objects.filter(pk=campaign.pk, state=CampaignState.OPEN)
    if not mine.filter(told_at=before).update(told_at=now):
        return 0
    letters = [*_letters(campaign, now)]
    failed = deliver(letters)
    if letters and len(failed) == len(letters):
        mine.filter(told_at=now).update(told_at=before)
    return len(letters) - len(failed)


def _letters(campaign: ReviewCampaign, now: datetime) -> Iterator[Letter]:
    for person, count in _waiting(campaign):
        yield Letter(
            to=person,
            template="review_waiting",
            values={
                "campaign": campaign,
                "count": "1 item waits" if count == 1 else f"{count} items wait",
                "is_overdue": campaign.due_at <= now,
                "days": max((campaign.due_at - now).days, 0),
                "path": f"/reviews/{campaign.pk}/",
            },
        )


def _waiting(campaign: ReviewCampaign) -> Iterable[tuple[User, int]]:
    """Return who is to decide how much still; nobody about their own."""
    rows = ReviewItem.objects.filter(campaign=campaign, decision="").order_by()
    left: defaultdict[int | None, dict[int, int]] = defaultdict(dict)
    for application, person, count in rows.values_list(
        "grant__application", "person"
    ).annotate(count=Count("pk")):
        left[application][person] = count
    assignments = ReviewAssignment.objects.filter(
        campaign=campaign, reviewer__is_active=True
    ).exclude(reviewer__role=Role.AUDITOR)
    counts: defaultdict[User, int] = defaultdict(int)
    for row in assignments.select_related("reviewer").order_by("reviewer_id"):
        parts = [*left] if row.application_id is None else [row.application_id]
        counts[row.reviewer] += sum(
            count
            for part in parts
            for person, count in left[part].items()
            if person != row.reviewer_id
        )
    return [(person, count) for person, count in counts.items() if count]
