"""Legal holds: what they forbid, and how they begin and end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from audit.actor import Ref
from audit.errors import HoldError
from audit.events import EventCode
from audit.models import LegalHold
from audit.retention.reasons import told_reason
from audit.services import record

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from audit.actor import Actor


@transaction.atomic
def place_hold(
    *,
    person: str,
    since: datetime | None,
    until: datetime | None,
    reason: str,
    actor: Actor,
    now: datetime,
) -> LegalHold:
    """Put evidence under a hold; `person` is an id (`us_7`), or empty for everybody.

    Raises:
        HoldError: without a reason, or with an end that is not after the beginning.
    """
    hold = LegalHold(
        person_id=person,
        since=since,
        until=until,
        reason=told_reason(reason, HoldError),
        placed_at=now,
    )
    if since and until and until <= since:
        raise HoldError("a hold ends after it begins")
    hold.save()
    _record(EventCode.LEGAL_HOLD_PLACE, hold, reason=hold.reason, actor=actor, now=now)
    return hold


@transaction.atomic
def lift_hold(
    *, hold: LegalHold, reason: str, actor: Actor, now: datetime
) -> LegalHold:
    """End a hold; the row stays, for whoever asks what was held and when.

    Raises:
        HoldError: without a reason, or it was lifted already.
    """
    why = told_reason(reason, HoldError)
    held = LegalHold.objects.filter(pk=hold.pk, lifted_at=None)
    if not held.update(lifted_at=now):
        raise HoldError(f"the hold {hold.ref.id} was lifted already")
    hold.refresh_from_db()
    _record(EventCode.LEGAL_HOLD_LIFT, hold, reason=why, actor=actor, now=now)
    return hold


def holds_in_force() -> QuerySet[LegalHold]:
    """Return the holds that were not lifted."""
    return LegalHold.objects.filter(lifted_at=None)


def holds_on(person: str) -> QuerySet[LegalHold]:
    """Return the holds in force that keep somebody from being forgotten."""
    return holds_in_force().filter(person_id__in=("", person))


def _record(
    code: EventCode, hold: LegalHold, *, reason: str, actor: Actor, now: datetime
) -> None:
    record(
        code,
        actor=actor,
        now=now,
        person=Ref(id=hold.person_id),
        target=hold.ref,
        reason=reason,
        details={
            "hold": hold.ref.id,
            "whose": hold.person_id,
            "since": hold.since.isoformat() if hold.since else None,
            "until": hold.until.isoformat() if hold.until else None,
        },
    )
