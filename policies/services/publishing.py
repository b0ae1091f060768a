"""Publishing: rows → compiled, numbered, signed snapshot; the gateway is told.

* Equal content is not published again; a generation is issued once.
* The row `Publication` is the lock of one gateway's publishers, and of who changes its
  policy. It is always the last thing a transaction locks, and several are locked in
  order of id. It is never held while something is compiled: what was compiled is
  stored only if nobody published meanwhile, or knew of more and found nothing to
  publish; otherwise it is compiled anew.
* While a notice of revocation is out, nothing is compiled on commit: the gateways shall
  have the processor first. When they have answered, or by the sweep, it is.
* A policy that cannot be compiled is an event, and no other gateway waits for it. The
  generation before it stays, less what has ended since.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from django.db import transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce

from audit.actor import SYSTEM
from audit.events import EventCode, Outcome
from audit.services import record
from peers.models import Gateway, GatewayState
from policies import notices, notifier, signing
from policies.compiler.compile import compile_snapshot
from policies.compiler.envelope import SNAPSHOT_TYPE, open_envelope
from policies.compiler.errors import CompilerError
from policies.compiler.locks import next_change, without_locked
from policies.compiler.snapshot import (
    canonical_object,
    digest,
    parse_snapshot,
    renumbered,
    snapshot_members,
)
from policies.errors import OvertakenError, SnapshotError
from policies.facts import Rows, load_rows
from policies.models import Publication, RevocationTarget, Snapshot
from policies.reduction import reduced_snapshot
from portal.accounts.models import User

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from audit.actor import Actor
    from policies.compiler.types import Facts
    from policies.compiler.types import Snapshot as Content

logger = logging.getLogger(__name__)

Make: TypeAlias = "Callable[[Publication, Facts, datetime], Content]"

FAILURE_LENGTH: Final = 255
ATTEMPTS: Final = 8
"""Overtaken more often than that, a publisher leaves it to the sweep."""


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
    held = _lock(ids)
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
    _lock(sorted(_enrolled(gateway_ids)))


def _enrolled(gateway_ids: Iterable[int] | None) -> Iterable[int]:
    enrolled = Gateway.objects.filter(state=GatewayState.ENROLLED)
    if gateway_ids is not None:
        enrolled = enrolled.filter(pk__in=set(gateway_ids))
    return enrolled.values_list("pk", flat=True)


def _publish_stale(
    gateway_ids: Iterable[int], *, cause: str, actor: Actor, now: datetime
) -> None:
    # Who cleared the mark held the row's lock after our commit, or published inside
    # our own transaction, as a revocation does; either way it knew of our change.
    marked = Publication.objects.filter(
        stale_since__isnull=False, notices__gte=notices.latest_number()
    )
    stale = [*marked.filter(pk__in=[*gateway_ids]).values_list("pk", flat=True)]
    if stale:
        publish_snapshots(gateway_ids=stale, cause=cause, actor=actor, now=now)


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
        try:
            snapshot = _publish(
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


def _held_as(publication: Publication, covered: int) -> Publication:
    """Lock a publication that was read before, and return it as it is now.

    Raises:
        OvertakenError: somebody else has published since, or found nothing to publish
            and knew of a later change or notice.
    """
    _lock([publication.pk])
    # A second statement: PostgreSQL reads again what it had to wait for, but not what
    # is joined to it (Read Committed).
    [current] = Publication.objects.select_related("gateway").filter(pk=publication.pk)
    read = (publication.epoch, publication.generation, publication.gateway.epoch)
    if read != (current.epoch, current.generation, current.gateway.epoch):
        raise OvertakenError(f"{publication} was published meanwhile")
    # Who knew of more may have found nothing to publish: what ended before anybody
    # was told of it. They cleared the mark, so nobody would come after us.
    is_settled = current.stale_since is None and current.changes != publication.changes
    if is_settled or current.notices > covered:
        raise OvertakenError(f"{publication} was found to be current meanwhile")
    return current


def _lock(gateway_ids: Sequence[int]) -> Sequence[int]:
    """Lock the rows of these gateways, in order of id; return the ids."""
    rows = Publication.objects.select_for_update(no_key=True).filter(pk__in=gateway_ids)
    return [*rows.order_by("pk").values_list("pk", flat=True)]


def _publish(
    publication: Publication,
    rows: Rows,
    covered: int,
    *,
    cause: str,
    actor: Actor,
    now: datetime,
) -> Snapshot | None:
    attempt = partial(_attempt, publication, rows, covered, actor=actor, now=now)
    try:
        return attempt(_compiled, cause=cause)
    except SnapshotError as exc:
        _record_failure(publication, str(exc)[:FAILURE_LENGTH], cause, actor, now)
    try:
        return attempt(_reduced, cause=f"{cause}, reduced")
    except SnapshotError:
        # There is no earlier snapshot, or no key to sign with; the failure is told.
        return None


def _attempt(
    publication: Publication,
    rows: Rows,
    covered: int,
    make: Make,
    *,
    cause: str,
    actor: Actor,
    now: datetime,
) -> Snapshot | None:
    """Publish what `make` makes, or change nothing and say why."""
    try:
        # Here, so that what is reduced is without what is locked, too.
        facts = without_locked(rows.facts(publication.gateway), rows.locks, now=now)
        content = make(publication, facts, now)
        members = snapshot_members(content)
        snapshot = None
        if not _is_current(publication, content, members):
            snapshot = _draft(publication, content, members)
        next_change_at = next_change(facts, rows.locks, now=now)
        with transaction.atomic():
            current = _held_as(publication, covered)
            if snapshot is not None:
                snapshot.save(force_insert=True)
                _record_published(snapshot, cause, actor, now)
            _settle(
                publication,
                snapshot,
                is_whole=make is _compiled,
                is_last=current.changes == publication.changes,
                covered=covered,
                next_change_at=next_change_at,
            )
            return snapshot
    except CompilerError as exc:
        raise SnapshotError(str(exc)) from exc
    except (SnapshotError, OvertakenError):
        raise
    except Exception as exc:
        # Whatever is wrong with one gateway's policy, a person must still be cut off
        # at every other one.
        logger.exception("publishing gw_%s failed", publication.pk)
        msg = f"{type(exc).__name__}: {exc}"
        raise SnapshotError(msg) from exc


def _compiled(publication: Publication, facts: Facts, now: datetime) -> Content:
    return compile_snapshot(
        facts,
        epoch=publication.gateway.epoch,
        generation=publication.generation + 1,
        now=now,
    )


def _reduced(publication: Publication, facts: Facts, now: datetime) -> Content:
    # A broken policy grants nothing new, but what has ended ends (DESIGN §9:
    # grants may fail, revocations never do).
    if publication.snapshot is None:
        msg = "there is no earlier snapshot"
        raise SnapshotError(msg)
    envelope = open_envelope(publication.snapshot.envelope.encode())
    return reduced_snapshot(
        parse_snapshot(envelope.payload),
        facts,
        epoch=publication.gateway.epoch,
        generation=publication.generation + 1,
        now=now,
    )


def _record_published(
    snapshot: Snapshot, cause: str, actor: Actor, now: datetime
) -> None:
    record(
        EventCode.POLICY_PUBLISHED,
        actor=actor,
        now=now,
        gateway=snapshot.gateway.ref,
        details={
            "epoch": snapshot.epoch,
            "generation": snapshot.generation,
            "digest": snapshot.digest,
            "peers": snapshot.peers,
            "grants": snapshot.grants,
            "cause": cause,
        },
    )


def _is_current(
    publication: Publication, content: Content, members: Mapping[str, bytes]
) -> bool:
    current = publication.snapshot
    if current is None or current.epoch != content.epoch:
        return False
    if (current.peers, current.grants) != (len(content.peers), len(content.grants)):
        return False
    # Equal but for number and date: cheaper by its digest than by reading it back.
    same = renumbered(
        members, generation=current.generation, issued=current.published_at
    )
    return digest(canonical_object(same)) == current.digest


def _draft(
    publication: Publication, content: Content, members: Mapping[str, bytes]
) -> Snapshot:
    payload = canonical_object(members)
    return Snapshot(
        gateway=publication.gateway,
        epoch=content.epoch,
        generation=content.generation,
        digest=digest(payload),
        envelope=signing.sign(SNAPSHOT_TYPE, payload).decode(),
        peers=len(content.peers),
        grants=len(content.grants),
        published_at=content.issued,
    )


def _settle(
    publication: Publication,
    snapshot: Snapshot | None,
    *,
    is_whole: bool,
    is_last: bool,
    covered: int,
    next_change_at: datetime | None,
) -> None:
    changes: dict[str, Any] = {"next_change_at": next_change_at, "notices": covered}
    if is_whole:
        changes["failure"] = ""
        if is_last:
            changes["stale_since"] = None
    if snapshot is not None:
        changes |= {
            "snapshot": snapshot,
            "epoch": snapshot.epoch,
            "generation": snapshot.generation,
        }
    Publication.objects.filter(pk=publication.pk).update(**changes)
    # A revocation that waited for something to publish now knows its generation:
    # nobody whose keys are revoked is in a snapshot, compiled or reduced.
    told = Q(revocation__notice__number__lte=covered)
    RevocationTarget.objects.filter(
        told | Q(revocation__notice__isnull=True),
        gateway=publication.gateway,
        generation__isnull=True,
    ).update(generation=changes.get("generation", publication.generation))


@transaction.atomic
def _record_failure(
    publication: Publication, failure: str, cause: str, actor: Actor, now: datetime
) -> None:
    Publication.objects.filter(pk=publication.pk).update(
        failure=failure, stale_since=publication.stale_since or now
    )
    # The sweep tries again every few seconds; the same failure is told once.
    if actor == SYSTEM and publication.failure == failure:
        return
    record(
        EventCode.POLICY_COMPILE_FAILED,
        actor=actor,
        now=now,
        outcome=Outcome.FAILED,
        gateway=publication.gateway.ref,
        reason=failure,
        details={"cause": cause, "generation": publication.generation},
    )
