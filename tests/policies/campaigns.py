"""Access reviews, made short."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from audit.actor import SYSTEM
from policies import access_reviews
from policies.access_reviews import Decided, Scope
from policies.models import Application, Decision, ReviewCampaign, ReviewItem
from portal.accounts.models import Group, User
from tests.policies.makers import NOW

DAY: Final = timedelta(days=1)
DUE: Final = NOW + 14 * DAY


def review(
    *what: Application | Group,
    by: tuple[User, ...] = (),
    due: datetime = DUE,
    title: str = "autumn",
    now: datetime = NOW,
) -> ReviewCampaign:
    """Start a review of applications or groups."""
    return access_reviews.start_review(
        title=title,
        scope=scope_of(*what),
        reviewers=by,
        due_at=due,
        actor=SYSTEM,
        now=now,
    )


def scope_of(*what: Application | Group) -> Scope:
    """Return these as a scope."""
    return Scope(
        applications=tuple(row for row in what if isinstance(row, Application)),
        groups=tuple(row for row in what if isinstance(row, Group)),
    )


def decide(
    campaign: ReviewCampaign,
    decision: Decision,
    *people: User,
    by: User,
    note: str = "not needed",
    now: datetime = NOW,
) -> Decided:
    """Decide about people, all if none is named, as the rows stand."""
    rows = ReviewItem.objects.filter(campaign=campaign)
    if people:
        rows = rows.filter(person__in=people)
    return access_reviews.decide_items(
        campaign=campaign,
        seen=dict(rows.values_list("pk", "revision")),
        decision=decision,
        note=note,
        reviewer=by,
        actor=SYSTEM,
        now=now,
    )


def keep(campaign: ReviewCampaign, *people: User, by: User) -> Decided:
    """Keep what people hold."""
    return decide(campaign, Decision.KEEP, *people, by=by, note="")


def remove(campaign: ReviewCampaign, *people: User, by: User) -> Decided:
    """Remove what people hold."""
    return decide(campaign, Decision.REMOVE, *people, by=by)


def finish(campaign: ReviewCampaign, *, now: datetime = NOW) -> ReviewCampaign:
    """Finish a review."""
    return access_reviews.finish_review(campaign=campaign, actor=SYSTEM, now=now)


def outcomes(campaign: ReviewCampaign) -> dict[str, tuple[str, str]]:
    """Return what came of each person's item, and how."""
    rows = campaign.items.select_related("person")
    return {str(row.person): (row.outcome, row.way) for row in rows}
