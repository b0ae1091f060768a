"""Finishing a review: everything that is to be removed ends at once, or is told.

* It is finished when everything is decided, or when the due date is past. What nobody
  decided is kept, and recorded as undecided.
* What ends, ends through the services that pages use, in this transaction: gateways
  hear of all of it when it commits.
* What came of each item stays in its row; the digest of all of it is in the event.
* A review that should not have been started is called off: then nothing is applied.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

from audit.events import EventCode, Outcome
from audit.parts import parts
from audit.services import record
from policies.access_reviews.deciding import BATCH, hold_campaign
from policies.access_reviews.settling import settlement
from policies.errors import CampaignOverError, InvalidCampaignError, PolicyError
from policies.models import CampaignState, Decision, ItemOutcome, ReviewItem
from policies.names import clean_description
from policies.review_selectors import SHOWN
from policies.services.labels import end_grants, hold_labels
from policies.services.publishing import hold_users
from portal.accounts.services import remove_members

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from audit.actor import Actor
    from policies.access_reviews.settling import Settlement
    from policies.models import ReviewCampaign, Way

SEPARATORS: Final = (",", ":")


def finish_review(
    *, campaign: ReviewCampaign, seen: str = "", actor: Actor, now: datetime
) -> ReviewCampaign:
    """Finish a review and apply it.

    `seen` is the digest of the items that somebody looked at who confirms it.

    Raises:
        CampaignOverError: it is over already, undecided before its due date, or
            something was decided since it was `seen`.
        UnknownLabelError: a label was removed meanwhile.
    """
    try:
        with transaction.atomic():
            held = hold_campaign(campaign)
            items = ReviewItem.objects.filter(campaign=held)
            undecided = items.filter(decision="")
            if now < held.due_at and (count := undecided.count()):
                msg = (
                    f"{count} items are undecided; before {held.due_at:%Y-%m-%d %H:%M}"
                    " UTC a review is finished when everything is decided"
                )
                raise CampaignOverError(msg)
            if seen and seen != result_digest(items):
                msg = "something was decided since you looked; look again"
                raise CampaignOverError(msg)
            removed = items.filter(decision=Decision.REMOVE).select_related(*SHOWN)
            found = settlement([*removed.order_by("pk")], now=now)
            _apply(found, actor, now)
            undecided.update(outcome=ItemOutcome.UNDECIDED)
            items.filter(decision=Decision.KEEP).update(outcome=ItemOutcome.KEPT)
            _write(found)
            _close(held, CampaignState.FINISHED, "", actor, now)
    except PolicyError as exc:
        _record_refusal(campaign, exc, actor, now)
        raise
    return held


def call_off_review(
    *, campaign: ReviewCampaign, reason: str, actor: Actor, now: datetime
) -> ReviewCampaign:
    """End a review without applying anything; what was decided stays on record.

    Raises:
        CampaignOverError: it is over already.
        InvalidCampaignError: no reason is given.
        InvalidNameError: the reason is too long or not printable.
    """
    try:
        with transaction.atomic():
            held = hold_campaign(campaign)
            said = clean_description(reason.strip())
            if not said:
                msg = "say why it is called off; the log keeps it"
                raise InvalidCampaignError(msg)
            ReviewItem.objects.filter(campaign=held).update(
                outcome=ItemOutcome.NOT_APPLIED
            )
            _close(held, CampaignState.CALLED_OFF, said, actor, now)
    except PolicyError as exc:
        _record_refusal(campaign, exc, actor, now)
        raise
    return held


def result_digest(items: QuerySet[ReviewItem]) -> str:
    """Return the SHA-256 of what came of items, without names: the same for ever.

    Over JSON without spaces: for each item, by number, its id, person, what they held,
    the decision, who decided and when, what came of it and how. Notes are the reasons
    of RQ007, and go when somebody is forgotten.
    """
    rows: list[list[Any]] = [
        [
            f"ri_{item.pk}",
            f"us_{item.person_id}",
            f"gt_{item.grant_id}" if item.grant_id else "",
            f"gr_{item.group_id}" if item.group_id else "",
            item.decision,
            f"us_{item.decided_by_id}" if item.decided_by_id else "",
            f"{item.decided_at:%Y-%m-%dT%H:%M:%S.%fZ}" if item.decided_at else "",
            item.outcome,
            item.way,
        ]
        for item in items.select_related(None).order_by("pk").iterator(1000)
    ]
    text = json.dumps(rows, separators=SEPARATORS, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _apply(found: Settlement, actor: Actor, now: datetime) -> None:
    """End what is to end. Labels and people are held first, publications last."""
    hold_labels({source.label for source in found.label_grants})
    hold_users([user.pk for _, users in found.leaving for user in users])
    end_grants(
        grants=found.grants, label_grants=found.label_grants, actor=actor, now=now
    )
    for group, users in found.leaving:
        remove_members(group=group, users=users, actor=actor, now=now)


def _write(found: Settlement) -> None:
    """Store what is said of the items, a statement for many of them."""
    same: defaultdict[tuple[ItemOutcome, Way], list[int]] = defaultdict(list)
    for number, (outcome, way) in found.said.items():
        same[outcome, way].append(number)
    for (outcome, way), numbers in same.items():
        for part in parts(numbers, BATCH):
            ReviewItem.objects.filter(pk__in=part).update(outcome=outcome, way=way)


def _close(
    held: ReviewCampaign,
    state: CampaignState,
    reason: str,
    actor: Actor,
    now: datetime,
) -> None:
    items = ReviewItem.objects.filter(campaign=held)
    held.state, held.finished_at, held.reason = state, now, reason
    held.finished_by = actor.label[:255]
    held.result_sha256 = result_digest(items)
    held.save(
        update_fields=(
            "state",
            "finished_at",
            "reason",
            "finished_by",
            "result_sha256",
        )
    )
    counted = Counter(items.order_by().values_list("outcome", flat=True))
    record(
        EventCode.REVIEW_FINISH,
        actor=actor,
        now=now,
        target=held.ref,
        reason=reason,
        details={
            "is_called_off": state == CampaignState.CALLED_OFF,
            **{outcome.value: counted[outcome.value] for outcome in ItemOutcome},
            "result_sha256": held.result_sha256,
        },
    )


def _record_refusal(
    campaign: ReviewCampaign, error: PolicyError, actor: Actor, now: datetime
) -> None:
    record(
        EventCode.REVIEW_FINISH,
        actor=actor,
        now=now,
        outcome=Outcome.REFUSED,
        target=campaign.ref,
        reason=str(error),
    )
