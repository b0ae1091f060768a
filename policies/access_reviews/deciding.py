"""Deciding: a reviewer keeps or removes, and may think again until the finish.

Who decides holds the campaign's row, so that nothing is decided while it is being
finished. A decision says which one it has seen: what somebody else decided meanwhile
is not overwritten unseen. Nothing ends here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import F

from audit.events import EventCode, Outcome
from audit.parts import parts
from audit.services import NOBODY, event, record, record_all
from policies.errors import (
    CampaignOverError,
    InvalidCampaignError,
    NotReviewerError,
    PolicyError,
)
from policies.models import Decision, ReviewCampaign, ReviewItem
from policies.names import clean_description
from policies.review_selectors import SHOWN, decidable_by
from portal.accounts.models import User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from audit.actor import Actor
    from audit.models import AuditEvent

BATCH: Final = 500
"""Rows of a statement; databases limit its parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """How many items were decided now, and which somebody else had decided."""

    count: int
    overtaken: Sequence[ReviewItem]


def decide_items(
    *,
    campaign: ReviewCampaign,
    seen: Mapping[int, int],
    decision: Decision,
    note: str = "",
    reviewer: User,
    actor: Actor,
    now: datetime,
) -> Decided:
    """Keep or remove items; `seen` are their ids, with the revisions that were seen.

    Saying the same again changes nothing. An item that somebody decided since it was
    seen stays as they said, and is told.

    Raises:
        CampaignOverError: the campaign is over.
        NotReviewerError: the person does not review one of them, or it is their own.
        InvalidCampaignError: something is removed without a note.
        InvalidNameError: the note is too long or not printable.
    """
    try:
        with transaction.atomic():
            held = hold_campaign(campaign)
            said = _checked_note(note, decision)
            rows = _checked_items(held, seen, User.objects.get(pk=reviewer.pk))
            other = [
                row for row in rows if (row.decision, row.note) != (decision, said)
            ]
            fresh = [row for row in other if row.revision == seen[row.pk]]
            _write(fresh, decision, said, reviewer, now)
            about = partial(
                event,
                EventCode.REVIEW_DECIDE,
                actor=actor,
                now=now,
                target=held.ref,
                reason=said,
            )
            record_all(_events(about, fresh, decision))
    except PolicyError as exc:
        record(
            EventCode.REVIEW_DECIDE,
            actor=actor,
            now=now,
            outcome=Outcome.REFUSED,
            target=campaign.ref,
            reason=str(exc),
            details={"decision": decision.value, "error": type(exc).__name__},
        )
        raise
    chosen = {row.pk for row in fresh}
    overtaken = [row for row in other if row.pk not in chosen]
    return Decided(count=len(fresh), overtaken=overtaken)


def hold_campaign(campaign: ReviewCampaign) -> ReviewCampaign:
    """Lock a campaign's row and return it as it is.

    Raises:
        CampaignOverError: it is over.
    """
    rows = ReviewCampaign.objects.select_for_update(no_key=True).filter(pk=campaign.pk)
    held = rows.order_by().get()
    if not held.is_open:
        msg = f"the access review {held} is {held.get_state_display()} already"
        raise CampaignOverError(msg)
    return held


def _checked_note(note: str, decision: Decision) -> str:
    said = clean_description(note.strip())
    if decision is Decision.REMOVE and not said:
        msg = "say why it is removed; the log keeps it"
        raise InvalidCampaignError(msg)
    return said


def _checked_items(
    held: ReviewCampaign, seen: Mapping[int, int], reviewer: User
) -> list[ReviewItem]:
    """Return the rows that were chosen, if the person may decide them all."""
    rows = decidable_by(reviewer).filter(campaign=held).select_related(*SHOWN)
    found = [
        row for part in parts(sorted(seen), BATCH) for row in rows.filter(pk__in=part)
    ]
    if len(found) < len(seen):
        own = ReviewItem.objects.filter(campaign=held, person=reviewer)
        msg = (
            "nobody decides about their own access"
            if seen.keys() & {*own.values_list("pk", flat=True)}
            else f"{reviewer} does not review all of this"
        )
        raise NotReviewerError(msg)
    return found


def _write(
    rows: Sequence[ReviewItem],
    decision: Decision,
    note: str,
    reviewer: User,
    now: datetime,
) -> None:
    # The campaign's row is held: nobody else decides now.
    for part in parts((row.pk for row in rows), BATCH):
        ReviewItem.objects.filter(pk__in=part).update(
            decision=decision,
            note=note,
            decided_by=reviewer,
            decided_at=now,
            revision=F("revision") + 1,
        )


def _events(
    about: Callable[..., AuditEvent], rows: Iterable[ReviewItem], decision: Decision
) -> Iterator[AuditEvent]:
    """Yield what the log says of each row that was decided."""
    for row in rows:
        yield about(
            person=row.person.ref,
            application=row.grant.application.ref if row.grant else NOBODY,
            details={
                "decision": decision.value,
                "item": row.ref.id,
                "held": row.held.id,
                **({"before": row.decision} if row.decision else {}),
            },
        )
