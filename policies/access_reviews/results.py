"""Reviews as tables for an auditor: campaigns, and every item with what came of it.

Names are those of today beside ids that never change. What is left to a human is asked
anew each time it is told: an item that was still to be removed may be gone by now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q

from audit.events import EventCode, Outcome
from audit.models import AuditEvent
from policies.access_reviews.finishing import result_digest
from policies.models import (
    CampaignState,
    Grant,
    ItemOutcome,
    ReviewCampaign,
    ReviewItem,
)
from policies.review_selectors import SHOWN
from portal.accounts.models import Membership

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

CAMPAIGN_COLUMNS: Final = (
    *("campaign_id", "title", "scope", "reviewed", "reviewers", "state"),
    *("started_at", "started_by", "due_at", "finished_at", "finished_by", "reason"),
    *("items", "result_sha256", "is_as_logged"),
)
ITEM_COLUMNS: Final = (
    *("campaign_id", "campaign", "item_id", "person_id", "person", "held_id", "held"),
    *("application", "group", "since", "connections", "bytes", "last_used_at"),
    *("decision", "note", "decided_by_id", "decided_by", "decided_at"),
    *("outcome", "how", "is_applied", "is_still_held"),
)
BATCH: Final = 500


def campaigns_between(since: datetime, until: datetime) -> QuerySet[ReviewCampaign]:
    """Return the campaigns that were open at some time of a period, oldest first."""
    over = Q(finished_at__isnull=True) | Q(finished_at__gte=since)
    return ReviewCampaign.objects.filter(over, started_at__lt=until).order_by("pk")


def campaign_rows(campaigns: Iterable[ReviewCampaign]) -> Iterator[Sequence[Any]]:
    """Yield a row for each campaign, as `CAMPAIGN_COLUMNS`."""
    for found in campaigns:
        things = [*found.applications.all(), *found.groups.all()]
        people = {
            str(row.reviewer) for row in found.assignments.select_related("reviewer")
        }
        yield (
            *(found.ref.id, found.title, found.scope),
            "; ".join(map(str, things)),
            "; ".join(sorted(people)),
            *(found.state, found.started_at, found.started_by, found.due_at),
            *(found.finished_at, found.finished_by, found.reason),
            found.items.count(),
            found.result_sha256,
            is_as_logged(found),
        )


def item_rows(items: QuerySet[ReviewItem]) -> Iterator[Sequence[Any]]:
    """Yield a row for each item, as `ITEM_COLUMNS`."""
    rows = items.select_related(*SHOWN).order_by("pk")
    numbers = [*rows.values_list("pk", flat=True)]
    for first in range(0, len(numbers), BATCH):
        part = [*rows.filter(pk__in=numbers[first : first + BATCH])]
        held = still_held(part)
        for item in part:
            yield _item_row(item, is_held=item.pk in held)


def is_as_logged(campaign: ReviewCampaign) -> bool | None:
    """Return whether what came of a campaign is what its event says; None while open.

    Whoever changed the rows afterwards, in the database itself, is found by this.
    """
    if campaign.is_open:
        return None
    event = AuditEvent.objects.filter(
        code=EventCode.REVIEW_FINISH,
        outcome=Outcome.DONE,
        target_id=campaign.ref.id,
    ).first()
    told = event.details.get("result_sha256") if event else ""
    return bool(told) and told == result_digest(campaign.items.all())


def still_held(items: Collection[ReviewItem]) -> frozenset[int]:
    """Return which of at most 500 items somebody still holds, by id; not a gate."""
    grants = {item.grant_id for item in items if item.grant_id is not None}
    open_now = {
        *Grant.objects.filter(pk__in=grants, ended_at__isnull=True).values_list(
            "pk", flat=True
        )
    }
    groups = {item.group_id for item in items if item.group_id is not None}
    members = {
        *Membership.objects.filter(
            group__in=groups, user__in={item.person_id for item in items}
        ).values_list("user_id", "group_id")
    }
    return frozenset(
        item.pk
        for item in items
        if (item.grant_id is None or item.grant_id in open_now)
        and (item.group_id is None or (item.person_id, item.group_id) in members)
    )


def _item_row(item: ReviewItem, *, is_held: bool) -> Sequence[Any]:
    decider = item.decided_by
    return (
        *(item.campaign.ref.id, item.campaign.title, item.ref.id),
        *(item.person.ref.id, str(item.person), item.held.id, item.held.label),
        item.grant.application.name if item.grant else "",
        str(item.group or ""),
        *(item.since, item.connections, item.bytes, item.last_used_at),
        *(item.decision, item.note),
        *((decider.ref.id, str(decider)) if decider else ("", "")),
        item.decided_at,
        *(item.outcome, item.way),
        item.outcome == ItemOutcome.ENDED
        if item.campaign.state != CampaignState.OPEN
        else None,
        is_held,
    )
