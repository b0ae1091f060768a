"""What becomes of what is to be removed: judged at the finish, changes nothing.

A grant ends when everything that it gives now was reviewed in this campaign and is to
be removed. Where it gives somebody or something else too, it goes on: nobody loses what
was kept, what nobody decided, or what nobody was asked about. Then, and where a file or
the identity provider would give it again, the removal is left for a human to follow up,
and never said to be done.

Somebody who is disabled meanwhile holds nothing, and would again when enabled: what was
to be removed from them is removed all the same, and nobody else waits for them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from django.db.models import Q

from policies.access_reviews.listing import holders, open_grants, way_of
from policies.models import Grant, ItemOutcome, LabelGrant, Way
from policies.policy_files.versions import grants_of_newest
from portal.accounts.models import Group, GroupSource, Membership, User

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from policies.access_reviews.listing import Pair
    from policies.models import ReviewItem

Source: TypeAlias = "Grant | LabelGrant"
"""What ends as a whole: a grant, or the grant of a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What ends, who leaves which group, and what is said of each item, by id."""

    grants: Sequence[Grant]
    label_grants: Sequence[LabelGrant]
    leaving: Sequence[tuple[Group, Sequence[User]]]
    said: Mapping[int, tuple[ItemOutcome, Way]]


@dataclass(slots=True)
class _Draft:
    """A settlement in the making."""

    sources: dict[Source, None] = field(default_factory=dict)
    leaving: defaultdict[Group, list[User]] = field(
        default_factory=lambda: defaultdict(list)
    )
    said: dict[int, tuple[ItemOutcome, Way]] = field(default_factory=dict)


def settlement(removed: Collection[ReviewItem], *, now: datetime) -> Settlement:
    """Return what is to end, of the items that are to be removed."""
    draft = _Draft()
    _settle_grants(draft, [item for item in removed if item.grant], now)
    _settle_groups(draft, [item for item in removed if not item.grant])
    return Settlement(
        grants=[source for source in draft.sources if isinstance(source, Grant)],
        label_grants=[
            source for source in draft.sources if isinstance(source, LabelGrant)
        ],
        leaving=[*draft.leaving.items()],
        said=draft.said,
    )


def _settle_grants(draft: _Draft, removed: Sequence[ReviewItem], now: datetime) -> None:
    grants = _open_now(removed, now)
    held = {
        (person, grant.pk) for grant, person, _ in holders(grants, with_disabled=True)
    }
    asked = {(item.person_id, item.grant_id) for item in removed}
    wide = {source for source, pairs in _given(grants).items() if not pairs <= asked}
    filed = grants_of_newest(now=now) if removed else frozenset[int]()
    for item in removed:
        grant = item.grant
        if grant is None or (item.person_id, grant.pk) not in held:
            draft.said[item.pk] = (ItemOutcome.GONE, Way(item.way))
            continue
        source = grant.source or grant
        if source in wide:
            way = way_of(grant, is_wide=True, filed=filed)
        else:
            way = Way.FILE if grant.pk in filed else Way.PORTAL
        if way is Way.PORTAL:
            draft.sources[source] = None
        draft.said[item.pk] = (_outcome(way), way)


def _settle_groups(draft: _Draft, removed: Sequence[ReviewItem]) -> None:
    rows = Membership.objects.filter(group__in={item.group_id for item in removed})
    members = {*rows.values_list("user_id", "group_id")}
    for item in removed:
        group = item.group
        if group is None or (item.person_id, group.pk) not in members:
            draft.said[item.pk] = (ItemOutcome.GONE, Way(item.way))
            continue
        is_ours = group.source == GroupSource.LOCAL
        way = Way.PORTAL if is_ours else Way.PROVIDER
        if is_ours:
            draft.leaving[group].append(item.person)
        draft.said[item.pk] = (_outcome(way), way)


def _outcome(way: Way) -> ItemOutcome:
    return ItemOutcome.ENDED if way is Way.PORTAL else ItemOutcome.FOLLOW_UP


def _open_now(removed: Iterable[ReviewItem], now: datetime) -> list[Grant]:
    """Return the removed grants that are open, with all that their labels give."""
    grants = [item.grant for item in removed if item.grant]
    sources = {grant.source_id for grant in grants if grant.source_id is not None}
    own = {grant.pk for grant in grants if grant.source_id is None}
    rows = open_grants(now).select_related(
        "user", "group", "application", "source__label"
    )
    return [*rows.filter(Q(pk__in=own) | Q(source__in=sources)).order_by("pk")]


def _given(grants: Collection[Grant]) -> Mapping[Source, frozenset[Pair]]:
    """Return what each source of these grants gives now: person and grant."""
    found: defaultdict[Source, set[Pair]] = defaultdict(set)
    for grant, person, _ in holders(grants):
        found[grant.source or grant].add((person, grant.pk))
    return {source: frozenset(pairs) for source, pairs in found.items()}
