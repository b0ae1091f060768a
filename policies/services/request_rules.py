"""Who may be asked for an application, and whether anybody may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from audit.events import EventCode, Outcome
from audit.services import record
from policies.errors import InvalidRequestError, PolicyError
from policies.models import Application
from portal.accounts.models import Role

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor
    from portal.accounts.models import Group, User


def update_request_rules(
    *,
    application: Application,
    is_requestable: bool,
    owner: User | None,
    approver_group: Group | None,
    needs_two_approvals: bool,
    actor: Actor,
    now: datetime,
) -> Application:
    """Say whether people may ask for an application, and who answers them.

    Administrators always may. Requests that wait already are judged by the new rules.

    Raises:
        InvalidRequestError: the owner is disabled, or an auditor.
    """
    try:
        with transaction.atomic():
            _check_owner(owner)
            Application.objects.filter(pk=application.pk).update(
                is_requestable=is_requestable,
                owner=owner,
                approver_group=approver_group,
                needs_two_approvals=needs_two_approvals,
            )
            application.refresh_from_db()
            record(
                EventCode.APPLICATION_UPDATE,
                actor=actor,
                now=now,
                application=application.ref,
                details={
                    "is_requestable": is_requestable,
                    "owner": owner.ref.id if owner else None,
                    "approver_group": approver_group.ref.id if approver_group else None,
                    "needs_two_approvals": needs_two_approvals,
                },
            )
    except PolicyError as exc:
        record(
            EventCode.APPLICATION_UPDATE,
            actor=actor,
            now=now,
            outcome=Outcome.REFUSED,
            application=application.ref,
            target=application.ref,
            reason=str(exc),
        )
        raise
    return application


def _check_owner(owner: User | None) -> None:
    if owner is None:
        return
    if not owner.is_active:
        msg = f"{owner} is disabled"
        raise InvalidRequestError(msg)
    if owner.role == Role.AUDITOR:
        msg = f"{owner} is an auditor, who changes nothing and cannot approve"
        raise InvalidRequestError(msg)
