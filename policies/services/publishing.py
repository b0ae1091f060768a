"""Publishing: rows → compiled, numbered, signed snapshot; the gateway is told.

* Equal content is not published again; a generation is issued once.
* The row `Publication` is the lock of one gateway's publishers, and of who changes its
  policy. It is always the last thing a transaction locks, and several are locked in
  order of id. It is never held while something is compiled (`generations`).
* What is out of date is published in lots, each by one publisher of a process at a
  time: whoever comes second finds it done instead of compiling it, too. A change that
  concerns more gateways than a lot holds up nobody who waits for an answer.
* While a notice of revocation is out, nothing is compiled on commit: the gateways shall
  have the processor first. When they have answered, or by the sweep, it is.
* A policy that cannot be compiled is an event, and no other gateway waits for it. The
  generation before it stays, less what has ended since.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce

from peers.models import Gateway, GatewayState
from policies import notices, notifier
from policies.connections import later, turns
from policies.errors import OvertakenError
from policies.facts import load_rows
from policies.models import Publication, Snapshot
from policies.services.generations import lock_publications, publish_one
from portal.accounts.models import User

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from audit.actor import Actor

ATTEMPTS: Final = 8
"""Overtaken more often than that, a publisher leaves it to the sweep."""
LOT: Final = 16
"""Gateways whose policies are read at once."""
PATIENCE_SECONDS: Final = 60.0
"""Longer than that nobody waits for another publisher."""


class Claims:
    """Which gateways the publishers of this process are at."""

    def __init__(self) -> None:
        """Nobody publishes."""
        self._changed = threading.Condition()
        self._claimed: set[int] = set()

    @contextmanager
    def of(self, gateway_ids: Iterable[int]) -> Iterator[None]:
        """Claim gateways, when others are done with them; saves work, locks nothing."""
        ids = set(gateway_ids)
        with self._changed:
            self._changed.wait_for(
                lambda: not ids & self._claimed, timeout=PATIENCE_SECONDS
            )
            mine = ids - self._claimed
            self._claimed |= mine
        try:
            yield
        finally:
            with self._changed:
                self._claimed -= mine
                self._changed.notify_all()


_claims: Final = Claims()


@transaction.atomic
def publish_on_commit(
    *, gateway_ids: Iterable[int] | None, cause: str, actor: Actor, now: datetime
) -> None:
    """Mark gateways as out of date here, and publish them when this commits.

    `None` is every enrolled gateway. Whoever commits and dies before publishing
    leaves the mark, and the sweep publishes.
    """
    ids = sorted(_enrolled(gateway_ids))
    if not ids:
        return
    Publication.objects.bulk_create(
        (Publication(gateway_id=gateway_id) for gateway_id in ids),
        ignore_conflicts=True,
    )
    # Locked in order first: an UPDATE of many rows takes them in any order.
    held = lock_publications(ids)
    Publication.objects.filter(pk__in=held).update(
        changes=F("changes") + 1, stale_since=Coalesce("stale_since", Value(now))
    )
    # robust: the change has been committed; a failure here must not deny that.
    transaction.on_commit(
        partial(_publish_stale, ids, cause=cause, actor=actor, now=now), robust=True
    )


def publish_snapshots(
    *, gateway_ids: Iterable[int] | None, cause: str, actor: Actor, now: datetime
) -> list[Snapshot]:
    """Compile, number, sign and store what changed; tell the gateways on commit.

    `None` is every enrolled gateway. Returns the new snapshots only. A transaction for
    each gateway, unless the caller has one open.
    """
    ids = sorted(_enrolled(gateway_ids))
    published: list[Snapshot] = []
    for _ in range(ATTEMPTS):
        if not ids:
            return published
        ids = _publish_each(ids, published, cause=cause, actor=actor, now=now)
    # Others publish all the time; what they read may be older than our change.
    stale = Publication.objects.filter(pk__in=ids, stale_since__isnull=True)
    stale.update(stale_since=now)
    return published


def publish_due(
    due: Q,
    *,
    gateway_ids: Iterable[int] | None = None,
    cause: str,
    actor: Actor,
    now: datetime,
) -> list[Snapshot]:
    """Publish those of the gateways that are `due`, as long as they are: in lots.

    `None` is every enrolled gateway. What somebody else has published meanwhile is due
    no more.
    """
    ids = sorted(_enrolled(gateway_ids, due))
    published: list[Snapshot] = []
    for first in range(0, len(ids), LOT):
        lot = ids[first : first + LOT]
        with _claims.of(lot):
            still = [*_enrolled(lot, due)]
            if still:
                published += publish_snapshots(
                    gateway_ids=still, cause=cause, actor=actor, now=now
                )
    return published


def hold_users(user_ids: Iterable[int] | QuerySet[Any, Any]) -> None:
    """Lock people, in order, until the transaction ends; before `hold_gateways`.

    A row that names a person locks them, too. A revocation locks the person first and
    publishes then: whoever does it the other way round could stop it.
    """
    rows = User.objects.select_for_update(no_key=True).filter(pk__in=user_ids)
    [*rows.order_by("pk").values_list("pk")]


def hold_gateways(gateway_ids: Iterable[int] | None) -> None:
    """Lock the publications of these gateways, in order, until the transaction ends.

    For who calls `publish_on_commit` several times in one transaction: locks taken one
    call after another, in any order, could meet those of a revocation crosswise.
    `None` is every enrolled gateway.
    """
    lock_publications(sorted(_enrolled(gateway_ids)))


def _enrolled(gateway_ids: Iterable[int] | None, due: Q | None = None) -> Iterable[int]:
    enrolled = Gateway.objects.filter(due or Q(), state=GatewayState.ENROLLED)
    if gateway_ids is not None:
        enrolled = enrolled.filter(pk__in=set(gateway_ids))
    return enrolled.values_list("pk", flat=True)


def _publish_stale(
    gateway_ids: Sequence[int], *, cause: str, actor: Actor, now: datetime
) -> None:
    # Who cleared the mark held the row's lock after our commit, or published inside
    # our own transaction, as a revocation does; either way it knew of our change.
    due = Q(
        publication__stale_since__isnull=False,
        publication__notices__gte=notices.latest_number(),
    )
    publish = partial(
        publish_due, due, gateway_ids=gateway_ids, cause=cause, actor=actor, now=now
    )
    if len(gateway_ids) > LOT:
        later(publish)
    else:
        publish()


def _publish_each(
    gateway_ids: Sequence[int],
    published: list[Snapshot],
    *,
    cause: str,
    actor: Actor,
    now: datetime,
) -> list[int]:
    """Publish these gateways; return those that somebody else published meanwhile."""
    Publication.objects.bulk_create(
        (Publication(gateway_id=gateway_id) for gateway_id in gateway_ids),
        ignore_conflicts=True,
    )
    # In this order: a change that this counts, or a notice, is in the rows read next.
    publications = _read(gateway_ids)
    covered = notices.latest_number()
    rows = load_rows([publication.gateway for publication in publications])
    overtaken: list[int] = []
    for publication in publications:
        # Who was told of the gateway before is answered first.
        turns.pause()
        try:
            snapshot = publish_one(
                publication, rows, covered, cause=cause, actor=actor, now=now
            )
        except OvertakenError:
            overtaken.append(publication.pk)
            continue
        if snapshot is not None:
            published.append(snapshot)
            ids = [snapshot.gateway_id]
            transaction.on_commit(partial(notifier.notify, ids), robust=True)
    return overtaken


def _read(gateway_ids: Sequence[int]) -> Sequence[Publication]:
    return [
        *Publication.objects.select_related("gateway", "snapshot")
        .defer("snapshot__envelope")
        .filter(pk__in=gateway_ids)
        .order_by("pk")
    ]
