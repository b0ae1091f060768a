"""Who reviews: whom an administrator named, or who answers for an application.

Nobody is the only reviewer of their own access. Where only the owner of an application
would review it and has access to it, administrators review it as well; who was named
alone gets somebody beside them, or the review does not start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from policies.errors import InvalidCampaignError
from policies.models import CampaignScope
from portal.accounts.models import ADMINISTRATORS, Membership, Role, User

if TYPE_CHECKING:
    from policies.access_reviews.listing import Scope
    from policies.models import Application, ReviewItem

Assigned: TypeAlias = "Mapping[int | None, frozenset[int]]"
"""Ids of reviewers, by application; None is everything."""


def assigned(
    scope: Scope, items: Collection[ReviewItem], reviewers: Collection[User]
) -> Assigned:
    """Return who reviews what; without `reviewers`, who answers for an application.

    Raises:
        InvalidCampaignError: somebody named may not review, nobody would, or somebody
            would be the only one to review their own access.
    """
    if reviewers:
        _check_named(reviewers)
        found: Assigned = {None: frozenset(user.pk for user in reviewers)}
    elif scope.kind is CampaignScope.GROUPS:
        msg = "name a reviewer: nobody answers for a group by itself"
        raise InvalidCampaignError(msg)
    else:
        found = _answering(scope.applications, items)
    _check_others(found, items)
    return found


def _check_named(reviewers: Iterable[User]) -> None:
    for user in reviewers:
        if not user.is_active:
            msg = f"{user} is disabled"
            raise InvalidCampaignError(msg)
        if user.role == Role.AUDITOR:
            msg = f"{user} is an auditor, who changes nothing and cannot review"
            raise InvalidCampaignError(msg)


def _answering(
    applications: Collection[Application], items: Iterable[ReviewItem]
) -> Assigned:
    """Return who answers for each; administrators where that is nobody else."""
    groups = {a.approver_group_id for a in applications if a.approver_group_id}
    owners = {a.owner_id for a in applications if a.owner_id}
    members: defaultdict[int, set[int]] = defaultdict(set)
    for group, user in Membership.objects.filter(group__in=groups).values_list(
        "group_id", "user_id"
    ):
        members[group].add(user)
    able = User.objects.filter(is_active=True).exclude(role=Role.AUDITOR)
    asked = owners.union(*members.values())
    fit = {*able.filter(pk__in=asked).values_list("pk", flat=True)}
    administrators = frozenset(
        able.filter(role__in=ADMINISTRATORS).values_list("pk", flat=True)
    )
    people = _people(items)
    found: dict[int | None, frozenset[int]] = {}
    for application in applications:
        named = {
            application.owner_id,
            *members.get(application.approver_group_id or 0, ()),
        }
        own = frozenset(number for number in named if number in fit)
        is_alone = len(own) == 1 and own <= people[application.pk]
        found[application.pk] = own if own and not is_alone else own | administrators
    return found


def _check_others(found: Assigned, items: Iterable[ReviewItem]) -> None:
    """Refuse what would leave a person's access to nobody, or to themselves."""
    for key, people in _people(items).items():
        reviewers = found.get(None) or found.get(key) or frozenset[int]()
        if not reviewers:
            msg = "nobody could review this: name a reviewer"
            raise InvalidCampaignError(msg)
        if len(reviewers) == 1 and reviewers <= people:
            alone = User.objects.get(pk__in=reviewers)
            msg = (
                f"{alone} would be the only one to review their own access; name"
                " somebody else as well"
            )
            raise InvalidCampaignError(msg)


def _people(items: Iterable[ReviewItem]) -> defaultdict[int | None, frozenset[int]]:
    """Return whose access is reviewed, by application; groups are under None."""
    found: defaultdict[int | None, set[int]] = defaultdict(set)
    for item in items:
        key = item.grant.application_id if item.grant else None
        found[key].add(item.person_id)
    return defaultdict(
        frozenset, {key: frozenset(people) for key, people in found.items()}
    )
