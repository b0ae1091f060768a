"""One gateway's next generation: compiled without a lock, numbered and stored with it.

What was compiled is stored only if nobody published meanwhile, or knew of more and
found nothing to publish; otherwise the publisher is told that it was overtaken. Where
a policy does not compile, the generation before it stays, less what has ended since.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from django.db import transaction
from django.db.models import Q

from audit.actor import SYSTEM
from audit.events import EventCode, Outcome
from audit.services import record
from policies import signing
from policies.compiler.compile import compile_snapshot
from policies.compiler.envelope import SNAPSHOT_TYPE, open_envelope
from policies.compiler.errors import CompilerError
from policies.compiler.holdings import expected_holdings
from policies.compiler.locks import next_change, without_locked
from policies.compiler.snapshot import (
    canonical_object,
    digest,
    parse_snapshot,
    renumbered,
    snapshot_members,
)
from policies.errors import OvertakenError, SnapshotError
from policies.models import Publication, RevocationTarget, Snapshot
from policies.reduction import reduced_snapshot

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor
    from policies.compiler.types import Facts
    from policies.compiler.types import Snapshot as Content
    from policies.facts import Rows

logger = logging.getLogger(__name__)

Make: TypeAlias = "Callable[[Publication, Facts, datetime], Content]"

FAILURE_LENGTH: Final = 255
SMALL: Final = 1000
"""Peers. What the kernel will hold is computed at once while it is at hand; of more,
when a gateway first reports, as it takes longer than anybody should wait."""


def publish_one(
    publication: Publication,
    rows: Rows,
    covered: int,
    *,
    cause: str,
    actor: Actor,
    now: datetime,
) -> Snapshot | None:
    """Publish a gateway as `rows` say, if it is not so already; None if it is.

    `covered` is the last notice that the rows know of.

    Raises:
        OvertakenError: somebody published meanwhile, or knew of more.
    """
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


def lock_publications(gateway_ids: Sequence[int]) -> Sequence[int]:
    """Lock the rows of these gateways, in order of id; return the ids."""
    rows = Publication.objects.select_for_update(no_key=True).filter(pk__in=gateway_ids)
    return [*rows.order_by("pk").values_list("pk", flat=True)]


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


def _held_as(publication: Publication, covered: int) -> Publication:
    """Lock a publication that was read before, and return it as it is now.

    Raises:
        OvertakenError: somebody else has published since, or found nothing to publish
            and knew of a later change or notice.
    """
    lock_publications([publication.pk])
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
    is_small = len(content.peers) <= SMALL
    return Snapshot(
        gateway=publication.gateway,
        epoch=content.epoch,
        generation=content.generation,
        digest=digest(payload),
        envelope=signing.sign(SNAPSHOT_TYPE, payload).decode(),
        peers=len(content.peers),
        grants=len(content.grants),
        published_at=content.issued,
        holdings_digest=expected_holdings(content) if is_small else "",
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
