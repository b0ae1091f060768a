"""Grants: given and ended, never deleted. A refusal changes nothing and is logged."""

from __future__ import annotations

from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from django.db import transaction

from audit.actor import Ref
from audit.events import EventCode, Outcome
from audit.parts import parts
from audit.services import NOBODY, Json, event, record, record_all
from peers.models import Gateway
from policies.conditions import (
    UNCONDITIONAL,
    condition_columns,
    conditions_output,
    parse_conditions,
    stored_conditions,
)
from policies.errors import InvalidGrantError, PolicyError
from policies.models import Grant
from policies.names import clean_description
from policies.services.publishing import publish_on_commit

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from audit.actor import Actor
    from audit.models import AuditEvent
    from policies.conditions import ConditionsInput
    from policies.models import Application, LabelGrant
    from policies.models.terms import Terms
    from portal.accounts.models import Group, User

LONGEST: Final = timedelta(days=3653)
"""Ten years: a longer time is a slip of the keyboard, "no end" is said by name."""
BATCH: Final = 500
"""Rows of a statement; databases limit its parameters."""


def create_grant(
    *,
    application: Application,
    user: User | None = None,
    group: Group | None = None,
    not_before: datetime | None = None,
    expires_at: datetime | None = None,
    conditions: ConditionsInput = UNCONDITIONAL,
    reason: str = "",
    source: LabelGrant | None = None,
    actor: Actor,
    now: datetime,
) -> Grant:
    """Let one user or one group reach an application.

    Without `not_before` it begins now; without `expires_at` it has no end. `source`
    is the grant of a label that it carries out, whose terms were checked when it was
    given; who gives that locks the label.

    Raises:
        InvalidGrantError: not exactly one subject, a disabled person, an impossible
            time, or a condition that says nothing or names what does not exist.
        InvalidNameError: the reason is too long or not printable.
    """
    try:
        with transaction.atomic():
            grant = Grant(
                user=user,
                group=group,
                application=application,
                source=source,
                not_before=now if not_before is None else not_before,
                expires_at=expires_at,
                reason=reason,
                created_at=now,
                **condition_columns(parse_conditions(conditions)),
            )
            if source is None:
                check_terms(grant, now=now)
            grant.save()
            record_all([_event(EventCode.GRANT_CREATE, grant, actor, now)])
            _publish({application.pk}, EventCode.GRANT_CREATE, actor, now)
    except PolicyError as exc:
        record(
            EventCode.GRANT_CREATE,
            actor=actor,
            now=now,
            outcome=Outcome.REFUSED,
            person=NOBODY if user is None else user.ref,
            application=application.ref,
            target=Ref(id="", label=f"{user or group or 'nobody'} → {application}"),
            reason=str(exc),
        )
        raise
    return grant


def check_terms(terms: Terms, *, now: datetime) -> None:
    """Check what is about to be granted, and bring its reason into its one form.

    Raises:
        InvalidGrantError: not exactly one subject, a disabled person, or an
            impossible time.
        InvalidNameError: the reason is too long or not printable.
    """
    _check_subject(terms.user, terms.group)
    _check_times(terms.not_before, terms.expires_at, now)
    terms.reason = clean_description(terms.reason)


def terms_details(terms: Terms) -> dict[str, Json]:
    """Return to whom, when and on what conditions, as the log keeps it."""
    subject = (
        terms.user.ref if terms.user else terms.group.ref if terms.group else NOBODY
    )
    return {
        "subject": subject.id,
        "not_before": terms.not_before.isoformat(),
        "expires_at": terms.expires_at.isoformat() if terms.expires_at else None,
        "conditions": conditions_output(stored_conditions(terms)),
    }


def end_grant(*, grant: Grant, actor: Actor, now: datetime) -> Grant:
    """End a grant now; one that was ended before stays as it is.

    Raises:
        InvalidGrantError: it carries out the grant of a label, which goes on.
    """
    if grant.source is not None and grant.ended_at is None:
        msg = (
            f"{grant} comes from {grant.source.label}; end {grant.source}, or take the"
            f" label off {grant.application}"
        )
        record(
            EventCode.GRANT_END,
            actor=actor,
            now=now,
            outcome=Outcome.REFUSED,
            application=grant.application.ref,
            target=grant.ref,
            reason=msg,
        )
        raise InvalidGrantError(msg)
    end_derived_grants(grants=[grant], actor=actor, now=now)
    grant.refresh_from_db()
    return grant


@transaction.atomic
def end_derived_grants(
    *, grants: Collection[Grant], actor: Actor, now: datetime
) -> None:
    """End many grants now, wherever they came from; gateways hear of all at once.

    The number of statements does not grow with each grant, and what is published is
    held last: who ends one grant meanwhile waits for no more than the commit.
    """
    ended: list[Grant] = []
    for part in parts(sorted(grants, key=attrgetter("pk")), BATCH):
        rows = Grant.objects.filter(
            pk__in=[grant.pk for grant in part], ended_at__isnull=True
        )
        found = {*rows.select_for_update().order_by("pk").values_list("pk", flat=True)}
        Grant.objects.filter(pk__in=found).update(ended_at=now)
        ended += [grant for grant in part if grant.pk in found]
    if not ended:
        return
    record_all(_event(EventCode.GRANT_END, grant, actor, now) for grant in ended)
    _publish({grant.application_id for grant in ended}, EventCode.GRANT_END, actor, now)


def _check_subject(user: User | None, group: Group | None) -> None:
    if (user is None) == (group is None):
        msg = "a grant is for one user or one group, not for both and not for nobody"
        raise InvalidGrantError(msg)
    if user is not None and not user.is_active:
        msg = f"{user} is disabled"
        raise InvalidGrantError(msg)


def _check_times(begins: datetime, ends: datetime | None, now: datetime) -> None:
    if begins > now + LONGEST:
        msg = f"the grant would begin on {begins:%Y-%m-%d}, in more than ten years"
        raise InvalidGrantError(msg)
    if ends is None:
        return
    if ends <= now:
        msg = f"the end, {ends:%Y-%m-%d %H:%M} UTC, is past"
        raise InvalidGrantError(msg)
    if ends <= begins:
        msg = f"the grant would end before it begins on {begins:%Y-%m-%d %H:%M} UTC"
        raise InvalidGrantError(msg)
    if ends > max(begins, now) + LONGEST:
        msg = "a grant lasts ten years at most; leave the end open if there is none"
        raise InvalidGrantError(msg)


def _event(code: EventCode, grant: Grant, actor: Actor, now: datetime) -> AuditEvent:
    return event(
        code,
        actor=actor,
        now=now,
        person=grant.user.ref if grant.user else NOBODY,
        application=grant.application.ref,
        target=grant.ref,
        reason=grant.reason,
        details=terms_details(grant),
    )


def _publish(
    applications: Collection[int], code: EventCode, actor: Actor, now: datetime
) -> None:
    serving = Gateway.objects.filter(applications__in=applications).order_by()
    publish_on_commit(
        gateway_ids=[*serving.values_list("pk", flat=True).distinct()],
        cause=code.value,
        actor=actor,
        now=now,
    )
