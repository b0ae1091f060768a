"""Reviews as tables for an auditor: campaigns, and every item with what came of it.

Names are those of today beside ids that never change. What is left to a human is asked
anew each time it is told: an item that was still to be removed may be gone by now, and
what was removed may be reached by another grant.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q

from audit.events import EventCode, Outcome
from audit.models import AuditEvent, Log, Prune
from audit.parts import parts
from policies.access_reviews.deciding import BATCH
from policies.access_reviews.finishing import result_digest
from policies.access_reviews.listing import open_grants
from policies.models import (
    CampaignState,
    ItemOutcome,
    ReviewCampaign,
    ReviewItem,
)
from policies.review_selectors import SHOWN
from portal.accounts.models import Membership

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
    *("outcome", "how", "is_applied", "is_still_held", "is_still_reached"),
)


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


def item_rows(items: QuerySet[ReviewItem], *, now: datetime) -> Iterator[Sequence[Any]]:
    """Yield a row for each item, as `ITEM_COLUMNS`."""
    rows = items.select_related(*SHOWN).order_by("pk")
    for numbers in parts([*rows.values_list("pk", flat=True)], BATCH):
        part = [*rows.filter(pk__in=numbers)]
        held, reached = still_held(part, now=now), still_reached(part, now=now)
        for item in part:
            yield _item_row(
                item, is_held=item.pk in held, is_reached=item.pk in reached
            )


def is_as_logged(campaign: ReviewCampaign) -> bool | None:
    """Return whether what came of a campaign is what its event says.

    Whoever changed the rows afterwards, in the database itself, is found by this. None
    while it is open, and when its event may have been pruned (ADR-0036).
    """
    if campaign.is_open:
        return None
    event = AuditEvent.objects.filter(
        code=EventCode.REVIEW_FINISH,
        outcome=Outcome.DONE,
        target_id=campaign.ref.id,
    ).first()
    if event is None:
        pruned = Prune.objects.filter(
            log=Log.CONTROL, done_at__isnull=False, proposed_at__gt=campaign.finished_at
        )
        return None if pruned.exists() else False
    return bool(
        event.details.get("result_sha256") == result_digest(campaign.items.all())
    )


def still_held(items: Collection[ReviewItem], *, now: datetime) -> frozenset[int]:
    """Return which of at most 500 items somebody still holds, by id; not a gate."""
    grants = {item.grant_id for item in items if item.grant_id is not None}
    open_now = {*open_grants(now).filter(pk__in=grants).values_list("pk", flat=True)}
    members = _members(items)
    return frozenset(
        item.pk
        for item in items
        if (item.grant_id is None or item.grant_id in open_now)
        and (item.group_id is None or item.person_id in members[item.group_id])
    )


def still_reached(items: Collection[ReviewItem], *, now: datetime) -> frozenset[int]:
    """Return of which of at most 500 items somebody has access, by whatever grant.

    What was removed may be given by another grant or group, or was granted anew: of an
    application, or of any that the group gives.
    """
    given = _given_by({item.group_id for item in items if item.grant is None}, now)
    people = {item.person_id for item in items}
    groups = _members(items, of_all=True)
    rows = open_grants(now).filter(
        Q(user__in=people) | Q(group__in=groups), not_before__lte=now
    )
    held: defaultdict[int, set[int]] = defaultdict(set)
    for user, group, application in rows.values_list(
        "user_id", "group_id", "application_id"
    ):
        for person in {user} if group is None else groups[group]:
            held[person].add(application)
    return frozenset(
        item.pk
        for item in items
        if item.person.is_active
        and held[item.person_id]
        & ({item.grant.application_id} if item.grant else given[item.group_id])
    )


def _members(
    items: Collection[ReviewItem], *, of_all: bool = False
) -> Mapping[int, set[int]]:
    """Return who of the people is in which of the groups, or in any: ids, by group."""
    rows = Membership.objects.filter(user__in={item.person_id for item in items})
    if not of_all:
        rows = rows.filter(group__in={item.group_id for item in items})
    found: defaultdict[int, set[int]] = defaultdict(set)
    for group, user in rows.values_list("group_id", "user_id"):
        found[group].add(user)
    return found


def _given_by(groups: set[int | None], now: datetime) -> Mapping[int | None, set[int]]:
    """Return the applications that groups give now, by group."""
    found: defaultdict[int | None, set[int]] = defaultdict(set)
    rows = open_grants(now).filter(group__in=groups - {None})
    for group, application in rows.values_list("group_id", "application_id"):
        found[group].add(application)
    return found


def _item_row(item: ReviewItem, *, is_held: bool, is_reached: bool) -> Sequence[Any]:
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
        is_reached,
    )
