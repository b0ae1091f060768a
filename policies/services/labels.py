"""Labels: made, borne by applications, granted. A refusal changes nothing, is logged.

The grant of a label is carried out at once and from then on: one `Grant` for each
application that bears the label, made and ended here and nowhere else. Whoever changes
who bears a label, or grants it, holds the label's row, so that neither misses the
other.
"""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, transaction
from django.db.models import Q

from audit.actor import Ref
from audit.events import EventCode, Outcome
from audit.parts import parts
from audit.services import NOBODY, event, record, record_all
from policies.conditions import (
    UNCONDITIONAL,
    condition_columns,
    given_conditions,
    parse_conditions,
    stored_conditions,
)
from policies.errors import (
    InvalidNameError,
    LabelInUseError,
    PolicyError,
    UnknownLabelError,
)
from policies.models import Application, Grant, Label, LabelGrant
from policies.services.grants import (
    BATCH,
    check_terms,
    create_grant,
    end_derived_grants,
    terms_details,
)
from policies.services.publishing import hold_gateways, hold_users

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from audit.actor import Actor
    from audit.models import AuditEvent
    from policies.conditions import ConditionsInput
    from portal.accounts.models import Group, User

NAME: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""As a label of a host name (RFC 1035 §2.3.1), so that every policy file can say it."""


def create_label(*, name: str, actor: Actor, now: datetime) -> Label:
    """Make a label; no application bears it yet.

    Raises:
        InvalidNameError: the name is taken, or not like `db-prod`.
    """
    try:
        with transaction.atomic():
            label = Label(name=name.strip().removeprefix("tag:"), created_at=now)
            _check_name(label)
            _save(label)
            record(EventCode.LABEL_CREATE, actor=actor, now=now, target=label.ref)
    except PolicyError as exc:
        _refused(EventCode.LABEL_CREATE, Ref(id="", label=name), exc, actor, now)
        raise
    return label


def delete_label(*, label: Label, actor: Actor, now: datetime) -> None:
    """Remove a label that was never granted, from the applications that bear it.

    Raises:
        LabelInUseError: a grant names it, even one that has ended.
        UnknownLabelError: it was removed meanwhile.
    """
    ref = label.ref
    try:
        with transaction.atomic():
            hold_labels([label])
            if label.grants.exists():
                msg = (
                    f"{label} was granted, and the log speaks of it; end its grants and"
                    " take it off its applications instead"
                )
                raise LabelInUseError(msg)
            borne = [application.ref.id for application in label.applications.all()]
            label.delete()
            record(
                EventCode.LABEL_DELETE,
                actor=actor,
                now=now,
                target=ref,
                details={"applications": [*borne]},
            )
    except PolicyError as exc:
        _refused(EventCode.LABEL_DELETE, ref, exc, actor, now)
        raise


@transaction.atomic
def label_application(
    *, application: Application, labels: Iterable[Label], actor: Actor, now: datetime
) -> None:
    """Let an application bear these labels and no others.

    What is granted by a label that it takes on is granted from now; what was granted
    by one that it loses ends.

    Raises:
        UnknownLabelError: one of them was removed meanwhile.
    """
    wanted = {label.pk: label for label in labels}
    had = {label.pk: label for label in application.labels.all()}
    hold_bearing([*wanted.values(), *had.values()])
    had = {label.pk: label for label in application.labels.all()}
    come = [wanted[number] for number in sorted(wanted.keys() - had.keys())]
    gone = [had[number] for number in sorted(had.keys() - wanted.keys())]
    if not come and not gone:
        return
    application.labels.set(wanted.values())
    record(
        EventCode.LABEL_APPLY,
        actor=actor,
        now=now,
        application=application.ref,
        details={"added": [*map(str, come)], "removed": [*map(str, gone)]},
    )
    derived = application.grants.filter(source__label__in=gone, ended_at__isnull=True)
    derived = derived.select_related("source__label", "user", "group")
    end_derived_grants(grants=[*derived], actor=actor, now=now)
    for source in _open_grants(come, now):
        _carry_out(source, application, actor, now)


def create_label_grant(
    *,
    label: Label,
    user: User | None = None,
    group: Group | None = None,
    not_before: datetime | None = None,
    expires_at: datetime | None = None,
    conditions: ConditionsInput = UNCONDITIONAL,
    reason: str = "",
    actor: Actor,
    now: datetime,
) -> LabelGrant:
    """Let one user or one group reach every application that bears a label.

    Raises:
        InvalidGrantError: not exactly one subject, a disabled person, an impossible
            time, or a condition that says nothing or names what does not exist.
        InvalidNameError: the reason is too long or not printable.
        UnknownLabelError: the label was removed meanwhile.
    """
    person = NOBODY if user is None else user.ref
    try:
        with transaction.atomic():
            hold_labels([label])
            source = LabelGrant(
                label=label,
                user=user,
                group=group,
                not_before=now if not_before is None else not_before,
                expires_at=expires_at,
                reason=reason,
                created_at=now,
                **condition_columns(parse_conditions(conditions)),
            )
            check_terms(source, now=now)
            source.save()
            record_all([_event(EventCode.LABEL_GRANT_CREATE, source, actor, now)])
            _hold_gateways_of(label)
            for application in label.applications.order_by("pk"):
                _carry_out(source, application, actor, now)
    except PolicyError as exc:
        target = Ref(id="", label=f"{user or group or 'nobody'} → {label}")
        record(
            EventCode.LABEL_GRANT_CREATE,
            actor=actor,
            now=now,
            outcome=Outcome.REFUSED,
            person=person,
            target=target,
            reason=str(exc),
        )
        raise
    return source


def end_label_grant(*, grant: LabelGrant, actor: Actor, now: datetime) -> LabelGrant:
    """End the grant of a label now, and all that it gave."""
    end_grants(label_grants=[grant], actor=actor, now=now)
    grant.refresh_from_db()
    return grant


@transaction.atomic
def end_grants(
    *,
    grants: Collection[Grant] = (),
    label_grants: Collection[LabelGrant],
    actor: Actor,
    now: datetime,
) -> None:
    """End many grants now, and grants of labels with all that they gave.

    Raises:
        UnknownLabelError: a label was removed meanwhile.
    """
    hold_labels({grant.label for grant in label_grants})
    given: list[Grant] = [*grants]
    ended: list[LabelGrant] = []
    for part in parts(sorted(label_grants, key=attrgetter("pk")), BATCH):
        rows = LabelGrant.objects.filter(pk__in=[grant.pk for grant in part])
        found = {*rows.filter(ended_at__isnull=True).values_list("pk", flat=True)}
        # Nobody else ends them meanwhile: whoever does holds the label.
        LabelGrant.objects.filter(pk__in=found).update(ended_at=now)
        ended += [grant for grant in part if grant.pk in found]
        derived = Grant.objects.filter(source__in=found, ended_at__isnull=True)
        given += derived.select_related("user", "group", "application")
    record_all(_event(EventCode.LABEL_GRANT_END, grant, actor, now) for grant in ended)
    end_derived_grants(grants=given, actor=actor, now=now)


def hold_labels(labels: Iterable[Label]) -> None:
    """Lock the rows of labels, in order of id, until the transaction ends.

    Raises:
        UnknownLabelError: one of them was removed meanwhile.
    """
    wanted = {label.pk: label for label in labels}
    rows = Label.objects.select_for_update().filter(pk__in=wanted)
    held = {*rows.order_by("pk").values_list("pk", flat=True)}
    if gone := sorted(str(wanted[number]) for number in wanted.keys() - held):
        msg = f"{', '.join(gone)} was removed meanwhile"
        raise UnknownLabelError(msg)


def hold_bearing(labels: Iterable[Label]) -> None:
    """Lock labels, then the people that applications which take them on are granted to.

    People before what is published for gateways, as a revocation does: it must never
    wait for a change of labels that waits for it.

    Raises:
        UnknownLabelError: one of them was removed meanwhile.
    """
    held = [*labels]
    hold_labels(held)
    granted = LabelGrant.objects.filter(
        label__in=held, ended_at__isnull=True, user__isnull=False
    )
    hold_users(granted.order_by().values("user"))


def _hold_gateways_of(label: Label) -> None:
    """Lock everything that the applications of a label will mark, in one order."""
    behind = label.applications.filter(gateways__isnull=False)
    hold_gateways(behind.values_list("gateways", flat=True))


def _carry_out(
    source: LabelGrant, application: Application, actor: Actor, now: datetime
) -> None:
    """Grant an application by the grant of a label that it bears."""
    create_grant(
        application=application,
        user=source.user,
        group=source.group,
        not_before=max(source.not_before, now),
        expires_at=source.expires_at,
        conditions=given_conditions(stored_conditions(source)),
        reason=source.reason,
        source=source,
        actor=actor,
        now=now,
    )


def _open_grants(labels: Sequence[Label], now: datetime) -> Iterable[LabelGrant]:
    """Return the grants of labels that give something, now or later.

    Also of people who are disabled: they reach nothing meanwhile, and everything that
    bears the label when they come back.
    """
    endless = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    rows = LabelGrant.objects.filter(endless, label__in=labels)
    return (
        rows.filter(ended_at__isnull=True)
        .select_related("user", "group", "label")
        .order_by("pk")
    )


def _check_name(label: Label) -> None:
    if NAME.fullmatch(label.name) is None:
        msg = (
            f"{label.name!r} cannot be a label: small letters, digits and hyphens, a"
            " letter first, at most 63, for example db-prod"
        )
        raise InvalidNameError(msg)


def _save(label: Label) -> None:
    try:
        with transaction.atomic():
            label.save()
    except IntegrityError as exc:
        msg = f"there is a label called {label.name} already"
        raise InvalidNameError(msg) from exc


def _event(
    code: EventCode, grant: LabelGrant, actor: Actor, now: datetime
) -> AuditEvent:
    return event(
        code,
        actor=actor,
        now=now,
        person=grant.user.ref if grant.user else NOBODY,
        target=grant.ref,
        reason=grant.reason,
        details={**terms_details(grant), "label": grant.label.ref.id},
    )


def _refused(
    code: EventCode, target: Ref, exc: PolicyError, actor: Actor, now: datetime
) -> None:
    record(
        code,
        actor=actor,
        now=now,
        outcome=Outcome.REFUSED,
        target=target,
        reason=str(exc),
    )
