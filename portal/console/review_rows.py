"""Access reviews as pages show them: where each stands, and its items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Case, IntegerField, Q, Value, When

from policies.models import CampaignState, Decision, ItemOutcome, Way
from policies.review_selectors import Progress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from django.db.models import QuerySet

    from policies.models import ReviewCampaign, ReviewItem
    from portal.accounts.models import User

NOTHING: Final = Progress()
HOW: Final = {
    Way.PROVIDER: "must be removed at the identity provider: who is in the group is"
    " decided there",
    Way.GROUP: "must be removed in the local group: its grant goes on for its others",
    Way.LABEL: "must be removed by hand: the grant of a label gives more than this",
    Way.FILE: "must be removed in the policy file, which would grant it again",
}
"""What a human has to do where the portal cannot."""
REMOVALS: Final = {ItemOutcome.ENDED, ItemOutcome.GONE, ItemOutcome.FOLLOW_UP}
COLOURS: Final = {
    ItemOutcome.KEPT: "green",
    ItemOutcome.UNDECIDED: "orange",
    ItemOutcome.ENDED: "red",
    ItemOutcome.GONE: "secondary",
    ItemOutcome.FOLLOW_UP: "orange",
    ItemOutcome.NOT_APPLIED: "secondary",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A word and its colour."""

    text: str
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRow:
    """A review in a list."""

    campaign: ReviewCampaign
    state: Badge
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """An item in a list.

    `choice` is what its box sends; empty where the reader does not decide about it.
    `how` is what a human has to do; `is_open` if that is still to be done. What is
    gone may be reached by another grant all the same: `is_reached`.
    """

    item: ReviewItem
    choice: str
    is_own: bool
    is_ticked: bool
    outcome: Badge | None
    how: str
    is_open: bool
    is_reached: bool


def state_of(campaign: ReviewCampaign, now: datetime) -> Badge:
    """Return where a review stands at `now`."""
    match CampaignState(campaign.state):
        case CampaignState.OPEN if campaign.due_at <= now:
            return Badge(text="overdue", colour="red")
        case CampaignState.OPEN:
            return Badge(text="open", colour="azure")
        case CampaignState.FINISHED:
            return Badge(text="finished", colour="green")
        case CampaignState.CALLED_OFF:
            return Badge(text="called off", colour="secondary")


def campaign_rows(
    campaigns: Iterable[ReviewCampaign],
    progress: Mapping[int, Progress],
    now: datetime,
) -> list[CampaignRow]:
    """Return reviews that came through the gate, in their order."""
    return [
        CampaignRow(
            campaign=row,
            state=state_of(row, now),
            progress=progress.get(row.pk, NOTHING),
        )
        for row in campaigns
    ]


def item_rows(
    items: Iterable[ReviewItem],
    *,
    viewer: User,
    decidable: Collection[int],
    held: Collection[int],
    reached: Collection[int],
    ticked: Collection[int] = (),
) -> list[ItemRow]:
    """Return items that came through the gate, in their order."""
    return [
        ItemRow(
            item=item,
            choice=f"{item.pk}.{item.revision}" if item.pk in decidable else "",
            is_own=item.person_id == viewer.pk,
            is_ticked=item.pk in ticked,
            outcome=_outcome(item),
            how=how(item),
            is_open=item.outcome == ItemOutcome.FOLLOW_UP and item.pk in held,
            is_reached=item.outcome in REMOVALS
            and item.pk in reached
            and item.pk not in held,
        )
        for item in items
    ]


def search_items(
    rows: QuerySet[ReviewItem], data: Mapping[str, Any]
) -> QuerySet[ReviewItem]:
    """Return the items that fit: first what nobody decided, of it what is not used."""
    if words := data.get("q"):
        rows = rows.filter(
            Q(person__name__icontains=words)
            | Q(person__email__icontains=words)
            | Q(grant__application__name__icontains=words)
            | Q(group__name__icontains=words)
        )
    match data.get("decision"):
        case "none":
            rows = rows.filter(decision="")
        case Decision.KEEP | Decision.REMOVE as said:
            rows = rows.filter(decision=said)
    match data.get("use"):
        case "never":
            rows = rows.filter(connections=0)
        case "used":
            rows = rows.exclude(connections=0)
    if data.get("follow_up"):
        rows = rows.filter(outcome=ItemOutcome.FOLLOW_UP)
    first = Case(
        When(decision="", connections=0, then=Value(0)),
        When(decision="", then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    return rows.order_by(first, "person__name", "pk")


def _outcome(item: ReviewItem) -> Badge | None:
    if not item.outcome:
        return None
    return Badge(
        text=ItemOutcome(item.outcome).label,
        colour=COLOURS[ItemOutcome(item.outcome)],
    )


def how(item: ReviewItem) -> str:
    """Return what a human has to do, where that matters or will."""
    is_over = item.outcome and item.outcome != ItemOutcome.FOLLOW_UP
    return "" if is_over else HOW.get(Way(item.way), "")
