"""Who holds what at a moment: the list that a review freezes. Changes nothing.

* A review of applications lists each person with each grant that they hold: their own,
  through a group, or by the grant of a label.
* A review of groups lists each member once. What can be taken from a member is the
  membership; asked once for each grant of the group, the answers could contradict.
* Disabled people hold nothing. A lock takes nothing away: it can be lifted.
* The number of queries does not grow with people or grants.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from django.db.models import Q

from audit.models import Connection
from policies.models import CampaignScope, Grant, ReviewItem, Way
from policies.policy_files.versions import grants_of_newest
from policies.usage import did
from portal.accounts.models import GroupSource, Membership

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from policies.models import Application
    from portal.accounts.models import Group

LOOKS_BACK: Final = timedelta(days=90)
"""From when on use is counted, before the start."""

Pair: TypeAlias = tuple[int, int]
"""Ids of a person and of a grant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is reviewed: applications or groups, and not both."""

    applications: tuple[Application, ...] = ()
    groups: tuple[Group, ...] = ()

    @property
    def kind(self) -> CampaignScope:
        """Return which of the two."""
        return CampaignScope.APPLICATIONS if self.applications else CampaignScope.GROUPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What was done, as an item keeps it."""

    connections: int = 0
    bytes: int = 0
    last_used_at: datetime | None = None


def frozen_items(scope: Scope, *, now: datetime) -> list[ReviewItem]:
    """Return the items of a review that starts now, not stored yet, in order."""
    if scope.kind is CampaignScope.GROUPS:
        return [*_of_groups(scope.groups, now)]
    return [*_of_applications(scope.applications, now)]


def open_grants(now: datetime) -> QuerySet[Grant]:
    """Return the grants that are not over, also those that have yet to begin."""
    endless = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    return Grant.objects.filter(endless, ended_at__isnull=True)


def holders(
    grants: Collection[Grant], *, with_disabled: bool = False
) -> Iterator[tuple[Grant, int, datetime]]:
    """Yield each grant with each person who holds it, and since when they could.

    People `with_disabled` hold nothing now, and again when they are enabled.
    """
    members: defaultdict[int, list[tuple[int, datetime]]] = defaultdict(list)
    rows = Membership.objects.filter(
        group__in={grant.group_id for grant in grants if grant.group_id is not None}
    )
    if not with_disabled:
        rows = rows.filter(user__is_active=True)
    for group, user, since in rows.order_by("user_id").values_list(
        "group_id", "user_id", "since"
    ):
        members[group].append((user, since))
    for grant in grants:
        if grant.user is not None and (with_disabled or grant.user.is_active):
            yield grant, grant.user.pk, grant.not_before
        for user, since in members.get(grant.group_id or 0, ()):
            yield grant, user, max(since, grant.not_before)


def reach_of_labels(sources: Collection[int]) -> Mapping[int, frozenset[int]]:
    """Return what the grants of labels give now: the ids of applications, by grant."""
    found: defaultdict[int, set[int]] = defaultdict(set)
    rows = Grant.objects.filter(source__in=sources, ended_at__isnull=True)
    for source, application in rows.values_list("source_id", "application_id"):
        if source is not None:
            found[source].add(application)
    return {source: frozenset(reached) for source, reached in found.items()}


def _of_applications(
    applications: Collection[Application], now: datetime
) -> Iterator[ReviewItem]:
    numbers = frozenset(application.pk for application in applications)
    rows = open_grants(now).filter(application__in=numbers)
    grants = [*rows.select_related("user", "group").order_by("pk")]
    by_label = {grant.source_id for grant in grants if grant.source_id is not None}
    reached = reach_of_labels(by_label)
    filed = grants_of_newest(now=now)
    used = _used(numbers, now)
    for grant, person, since in holders(grants):
        is_wide = bool(grant.source_id and reached[grant.source_id] - numbers)
        yield _item(
            person,
            since,
            grant=grant,
            group_id=grant.group_id,
            way=way_of(grant, is_wide=is_wide, filed=filed),
            use=used[person][grant.application_id],
        )


def way_of(grant: Grant, *, is_wide: bool, filed: frozenset[int]) -> Way:
    """Return how one person loses a grant; `is_wide` if its label gives more."""
    if grant.group is not None:
        return Way.PROVIDER if grant.group.source == GroupSource.IDP else Way.GROUP
    if grant.pk in filed:
        return Way.FILE
    return Way.LABEL if is_wide else Way.PORTAL


def _of_groups(groups: Collection[Group], now: datetime) -> Iterator[ReviewItem]:
    given: defaultdict[int, set[int]] = defaultdict(set)
    rows = open_grants(now).filter(group__in=groups).order_by()
    for group, application in rows.values_list("group_id", "application_id"):
        if group is not None:
            given[group].add(application)
    used = _used(frozenset[int]().union(*given.values()), now)
    members = Membership.objects.filter(group__in=groups, user__is_active=True)
    for row in members.select_related("group").order_by("group_id", "user_id"):
        done = [used[row.user_id][number] for number in given[row.group_id]]
        is_ours = row.group.source == GroupSource.LOCAL
        yield _item(
            row.user_id,
            row.since,
            group_id=row.group_id,
            way=Way.PORTAL if is_ours else Way.PROVIDER,
            use=_together(done),
        )


def _item(
    person: int,
    since: datetime,
    *,
    grant: Grant | None = None,
    group_id: int | None,
    way: Way,
    use: Use,
) -> ReviewItem:
    return ReviewItem(
        person_id=person,
        grant=grant,
        group_id=group_id,
        since=since,
        way=way,
        connections=use.connections,
        bytes=use.bytes,
        last_used_at=use.last_used_at,
    )


def _used(
    applications: frozenset[int], now: datetime
) -> defaultdict[int, defaultdict[int, Use]]:
    """Return what people did with applications before now, by both ids."""
    found: defaultdict[int, defaultdict[int, Use]] = defaultdict(
        lambda: defaultdict(Use)
    )
    names = [f"ap_{number}" for number in sorted(applications)]
    rows = Connection.objects.filter(application_id__in=names)
    for (person, application), row in did(rows, now - LOOKS_BACK, now).items():
        use = Use(
            connections=row["connections"],
            bytes=row["up"] + row["down"],
            last_used_at=row["last_at"],
        )
        found[_number(person)][_number(application)] = use
    return found


def _together(uses: Collection[Use]) -> Use:
    return Use(
        connections=sum(use.connections for use in uses),
        bytes=sum(use.bytes for use in uses),
        last_used_at=max(
            (use.last_used_at for use in uses if use.last_used_at is not None),
            default=None,
        ),
    )


def _number(ref: str) -> int:
    """Return the number of a machine id of the log: 7 of `us_7`."""
    return int(ref.partition("_")[2])
