"""Reading access reviews, and their one gate.

Readers see all of them; a reviewer sees the campaigns they review and in them the
items that are theirs to decide. To everybody else a campaign does not exist (404).
What one may see but not do is 403. An administrator may stand in for any reviewer; an
auditor changes nothing, so decides nothing; nobody decides about themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db.models import Count, Exists, OuterRef, Q
from django.http import Http404

from policies.models import (
    CampaignState,
    Decision,
    ReviewAssignment,
    ReviewCampaign,
    ReviewItem,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.db.models import QuerySet

    from portal.accounts.models import User

SHOWN = (
    "campaign",
    "person",
    "decided_by",
    "group",
    *("grant__user", "grant__group", "grant__application", "grant__source__label"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How many items somebody sees, of how many people, and what was decided.

    `unused` are those with nothing that was done in the campaign's period.
    """

    items: int = 0
    people: int = 0
    decided: int = 0
    removed: int = 0
    unused: int = 0

    @property
    def undecided(self) -> int:
        """How many nobody has decided."""
        return self.items - self.decided

    @property
    def kept(self) -> int:
        """How many are kept, so far."""
        return self.decided - self.removed


def list_campaigns_for(user: User) -> QuerySet[ReviewCampaign]:
    """Return the campaigns a person may see, newest first."""
    if user.is_reader:
        return ReviewCampaign.objects.all()
    mine = ReviewAssignment.objects.filter(reviewer=user).values("campaign")
    return ReviewCampaign.objects.filter(pk__in=mine)


def get_campaign_for(user: User, campaign_id: int) -> ReviewCampaign:
    """Return a campaign to those who may see it."""
    found = list_campaigns_for(user).filter(pk=campaign_id).first()
    if found is None:
        raise Http404
    return found


def get_campaign_to_decide_for(user: User, campaign_id: int) -> ReviewCampaign:
    """Return a campaign to those who may decide about something in it."""
    found = get_campaign_for(user, campaign_id)
    if not may_review(user, found):
        raise PermissionDenied
    return found


def get_campaign_to_change_for(user: User, campaign_id: int) -> ReviewCampaign:
    """Return a campaign to an administrator."""
    found = get_campaign_for(user, campaign_id)
    if not user.is_administrator:
        raise PermissionDenied
    return found


def may_review(user: User, campaign: ReviewCampaign) -> bool:
    """Return whether a person decides about something in a campaign."""
    if not user.may_change:
        return False
    return user.is_administrator or (
        ReviewAssignment.objects.filter(campaign=campaign, reviewer=user).exists()
    )


def list_items_for(user: User) -> QuerySet[ReviewItem]:
    """Return the items a person may see, of all campaigns, oldest first."""
    rows = ReviewItem.objects.select_related(*SHOWN)
    return rows if user.is_reader else rows.filter(_assigned_to(user))


def decidable_by(user: User) -> QuerySet[ReviewItem]:
    """Return the items of open campaigns that a person decides; never their own."""
    if not user.may_change:
        return ReviewItem.objects.none()
    rows = ReviewItem.objects.filter(campaign__state=CampaignState.OPEN)
    rows = rows.exclude(person=user)
    return rows if user.is_administrator else rows.filter(_assigned_to(user))


def waiting_for(user: User) -> QuerySet[ReviewItem]:
    """Return what a person was asked to decide, and has not been."""
    return decidable_by(user).filter(_assigned_to(user), decision="")


def progress_for(
    user: User, campaigns: Iterable[ReviewCampaign]
) -> Mapping[int, Progress]:
    """Return, by campaign, how many items a person sees and what was decided."""
    rows = (
        list_items_for(user)
        .filter(campaign__in=[campaign.pk for campaign in campaigns])
        .select_related(None)
        .order_by()
        .values("campaign")
        .annotate(
            items=Count("pk"),
            people=Count("person", distinct=True),
            decided=Count("pk", filter=~Q(decision="")),
            removed=Count("pk", filter=Q(decision=Decision.REMOVE)),
            unused=Count("pk", filter=Q(connections=0)),
        )
    )
    return {
        row["campaign"]: Progress(
            items=row["items"],
            people=row["people"],
            decided=row["decided"],
            removed=row["removed"],
            unused=row["unused"],
        )
        for row in rows
    }


def _assigned_to(user: User) -> Exists:
    """Return the condition of items that somebody was asked to decide."""
    mine = ReviewAssignment.objects.filter(
        Q(application__isnull=True) | Q(application=OuterRef("grant__application")),
        campaign=OuterRef("campaign"),
        reviewer=user,
    )
    return Exists(mine)
