"""Searches that are kept: one's own, and those shared with everybody who reads the log.

Keeping and removing one are events, because a search that is gone is one that somebody
may have relied on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404

from audit.errors import FilterError
from audit.events import EventCode
from audit.models import Log, SavedSearch
from audit.services import record

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor, Ref
    from audit.search.filters import Filter

LISTED = 50


def list_searches_for(reader: Ref, log: Log | None = None) -> QuerySet[SavedSearch]:
    """Return what a reader sees: their own and what is shared."""
    rows = SavedSearch.objects.filter(Q(owner_id=reader.id) | Q(is_shared=True))
    return rows if log is None else rows.filter(log=log)


def get_search_for(reader: Ref, number: int) -> SavedSearch:
    """Return one of them, or answer 404."""
    return get_object_or_404(list_searches_for(reader), pk=number)


@transaction.atomic
def save_search(
    *,
    log: Log,
    name: str,
    filters: Filter,
    is_shared: bool,
    owner: Ref,
    actor: Actor,
    now: datetime,
) -> SavedSearch:
    """Keep a search.

    Raises:
        FilterError: the owner has one of this name in this log.
    """
    made = SavedSearch(
        log=log.value,
        name=name,
        query=filters.query_string(),
        owner_id=owner.id,
        owner_label=owner.label,
        is_shared=is_shared,
        created_at=now,
    )
    try:
        with transaction.atomic():
            made.save()
    except IntegrityError as exc:
        raise FilterError({"name": "you have a search of this name"}) from exc
    _record(EventCode.SAVED_SEARCH_CREATE, made, actor, now)
    return made


@transaction.atomic
def delete_search(*, search: SavedSearch, actor: Actor, now: datetime) -> None:
    """Remove a search; the event holds what it asked."""
    _record(EventCode.SAVED_SEARCH_DELETE, search, actor, now)
    search.delete()


def _record(code: EventCode, search: SavedSearch, actor: Actor, now: datetime) -> None:
    record(
        code,
        actor=actor,
        now=now,
        target=search.ref,
        details={
            "log": search.log,
            "query": search.query,
            "shared": search.is_shared,
            "owner": search.owner_id,
        },
    )
