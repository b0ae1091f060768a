"""Access requests, made short."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from audit.actor import SYSTEM
from policies import services
from policies.models import AccessRequest, Application
from portal.accounts.models import Group, User
from tests.policies.makers import NOW

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


def open_for_requests(application: Application, **rules: Any) -> Application:  # noqa: ANN401 -- any argument of the service
    """Let people ask for an application."""
    given: dict[str, Any] = {
        "is_requestable": True,
        "owner": None,
        "approver_group": None,
        "needs_two_approvals": False,
        **rules,
    }
    return services.update_request_rules(
        application=application, actor=SYSTEM, now=NOW, **given
    )


def ask(
    application: Application,
    requester: User,
    *,
    duration: timedelta = DAY,
    reason: str = "on call",
    now: datetime = NOW,
) -> AccessRequest:
    """Ask for an application."""
    return services.request_access(
        application=application,
        requester=requester,
        reason=reason,
        duration=duration,
        actor=SYSTEM,
        now=now,
    )


def approve(
    request: AccessRequest, reviewer: User, *, now: datetime = NOW, note: str = ""
) -> AccessRequest:
    """Approve a request."""
    return services.approve_request(
        request=request, reviewer=reviewer, note=note, actor=SYSTEM, now=now
    )


def refuse(
    request: AccessRequest, reviewer: User, *, now: datetime = NOW, note: str = "no"
) -> AccessRequest:
    """Refuse a request."""
    return services.refuse_request(
        request=request, reviewer=reviewer, note=note, actor=SYSTEM, now=now
    )


def group_of(*people: User, name: str = "approvers") -> Group:
    """Return a group with these members."""
    group = Group.objects.create(source="local", name=name, created_at=NOW)
    for person in people:
        group.membership_set.create(user=person, since=NOW)
    return group
