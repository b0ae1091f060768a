"""Starting a review: what is asked is frozen in the transaction that starts it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction

from audit.actor import Ref
from audit.events import EventCode, Outcome
from audit.services import record
from policies.access_reviews.assigning import assigned
from policies.access_reviews.listing import LOOKS_BACK, Scope, frozen_items
from policies.errors import InvalidCampaignError, PolicyError
from policies.models import ReviewAssignment, ReviewCampaign, ReviewItem
from policies.names import clean_name
from portal.accounts.models import User

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from audit.actor import Actor
    from audit.services import Json
    from policies.access_reviews.assigning import Assigned

MAX_ITEMS: Final = 20_000
"""More than that nobody reviews; and it is what one transaction stores at ease."""
LONGEST: Final = timedelta(days=366)
BATCH: Final = 1000
NAMED: Final = 200
"""So many ids of a list are in the event; a leaf has 64 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a review would ask, and whom. `unused` are items without any use."""

    items: int
    people: int
    unused: int
    not_ours: int
    reviewers: Sequence[User]


def preview(
    *, scope: Scope, reviewers: Collection[User] = (), now: datetime
) -> Preview:
    """Return how large a review would be; starts nothing.

    Raises:
        InvalidCampaignError: it could not be started like this.
    """
    items, found = _asked(scope, reviewers, now)
    numbers = frozenset[int]().union(*found.values())
    return Preview(
        items=len(items),
        people=len({item.person_id for item in items}),
        unused=sum(not item.connections for item in items),
        not_ours=sum(item.way != "portal" for item in items),
        reviewers=[*User.objects.filter(pk__in=numbers)],
    )


def start_review(
    *,
    title: str,
    scope: Scope,
    reviewers: Collection[User] = (),
    due_at: datetime,
    actor: Actor,
    now: datetime,
) -> ReviewCampaign:
    """Start a review of who holds what now, to be decided until `due_at`.

    Without `reviewers`, those who answer requests for an application review it.

    Raises:
        InvalidCampaignError: there is nothing to review or too much, nobody to review
            it but the person themselves, or the due date is past or too far.
        InvalidNameError: the title is empty, too long or not printable.
    """
    try:
        with transaction.atomic():
            campaign = ReviewCampaign(
                title=clean_name(title),
                scope=scope.kind,
                started_at=now,
                started_by=actor.label[:255],
                used_since=now - LOOKS_BACK,
                due_at=_checked_due(due_at, now),
            )
            items, found = _asked(scope, reviewers, now)
            campaign.save()
            campaign.applications.set(scope.applications)
            campaign.groups.set(scope.groups)
            _store(campaign, items, found)
            record(
                EventCode.REVIEW_START,
                actor=actor,
                now=now,
                target=campaign.ref,
                details=_details(campaign, scope, items, found),
            )
    except PolicyError as exc:
        record(
            EventCode.REVIEW_START,
            actor=actor,
            now=now,
            outcome=Outcome.REFUSED,
            target=Ref(id="", label=title),
            reason=str(exc),
        )
        raise
    return campaign


def _checked_due(due_at: datetime, now: datetime) -> datetime:
    if due_at <= now:
        msg = f"the due date, {due_at:%Y-%m-%d %H:%M} UTC, is past"
        raise InvalidCampaignError(msg)
    if due_at > now + LONGEST:
        msg = "a review is due within a year"
        raise InvalidCampaignError(msg)
    return due_at


def _asked(
    scope: Scope, reviewers: Collection[User], now: datetime
) -> tuple[list[ReviewItem], Assigned]:
    if bool(scope.applications) == bool(scope.groups):
        msg = "choose applications or groups to review, not both"
        raise InvalidCampaignError(msg)
    items = frozen_items(scope, now=now)
    if not items:
        msg = "nobody holds anything there; there is nothing to review"
        raise InvalidCampaignError(msg)
    if len(items) > MAX_ITEMS:
        msg = (
            f"that is {len(items)} items; a review has {MAX_ITEMS} at most: choose"
            " fewer applications or groups"
        )
        raise InvalidCampaignError(msg)
    return items, assigned(scope, items, reviewers)


def _store(
    campaign: ReviewCampaign, items: Sequence[ReviewItem], found: Assigned
) -> None:
    for item in items:
        item.campaign = campaign
    ReviewItem.objects.bulk_create(items, batch_size=BATCH)
    ReviewAssignment.objects.bulk_create(
        ReviewAssignment(campaign=campaign, reviewer_id=user, application_id=number)
        for number, users in found.items()
        for user in sorted(users)
    )


def _details(
    campaign: ReviewCampaign,
    scope: Scope,
    items: Collection[ReviewItem],
    found: Assigned,
) -> dict[str, Json]:
    users = sorted(frozenset[int]().union(*found.values()))
    return {
        "scope": scope.kind.value,
        "applications": [row.ref.id for row in scope.applications[:NAMED]],
        "groups": [row.ref.id for row in scope.groups[:NAMED]],
        "reviewers": [f"us_{number}" for number in users[:NAMED]],
        "items": len(items),
        "people": len({item.person_id for item in items}),
        "due_at": campaign.due_at.isoformat(),
    }
