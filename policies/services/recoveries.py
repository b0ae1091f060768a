"""A portal that was restored from a backup, and its gateways that know more (ADR-0021).

* A gateway that holds what this portal never issued is ahead. It is told so, and
  nothing lower is ever forced on it.
* Only an operator begins a recovery. Each gateway that is ahead then shows what this
  portal's own key had signed for it. Nothing is believed that is not signed by it: a
  gateway cannot revoke anybody by its word.
* What is revoked there is revoked here, and keys that this portal has forgotten are
  never enrolled again. Only when all have shown what they hold does each get its step
  to a higher epoch, above everything it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from audit.events import EventCode, Outcome
from audit.services import record
from peers import services as peers_services
from peers.models import Device, Gateway, GatewayState
from policies import selectors, signing
from policies.compiler.envelope import EPOCH_TYPE, NOTICE_TYPE, SNAPSHOT_TYPE
from policies.compiler.epoch import EpochStep, epoch_bytes
from policies.compiler.errors import CompilerError
from policies.compiler.notice import Notice, parse_notice
from policies.compiler.snapshot import digest, parse_snapshot
from policies.errors import AcknowledgementError, SnapshotError
from policies.models import GatewayRecovery, Publication
from policies.positions import Published, Snapshotted
from policies.services.publishing import (
    hold_gateways,
    publish_on_commit,
    publish_snapshots,
)
from policies.services.refusals import refuse_gateway_request

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from audit.actor import Actor
    from policies.compiler.types import Snapshot as Content
    from policies.positions import Standing
    from policies.shown import Shown

MAX_FLOOR: Final = 2**50
"""A gateway that asks for more spoils its own numbers only; they end at 2**53."""


def note_standing(
    *,
    gateway: Gateway,
    standing: Standing,
    published: Published | None,
    actor: Actor,
    now: datetime,
) -> GatewayRecovery | None:
    """Return the open recovery of a gateway that is ahead of `published`, or None.

    Where no policy ever compiled, a gateway stands at the beginning of its epoch.
    """
    published = published or Published(
        current=Snapshotted(epoch=gateway.epoch, generation=0, digest=""),
        is_recovering=GatewayRecovery.objects.filter(
            gateway=gateway, ended_at=None
        ).exists(),
    )
    row = None
    if published.is_recovering:
        row = GatewayRecovery.objects.filter(gateway=gateway, ended_at=None).first()
    if row is not None and row.step_epoch is not None:
        if standing.epoch < row.step_epoch:
            return row
        if published.current.epoch < row.step_epoch == standing.epoch:
            # It has taken its step; what it is to find there is being compiled.
            return None
        _end(row, actor, now)
        row = None
    if not selectors.is_ahead(gateway, standing, published):
        if row is not None:
            _end(row, actor, now)
        return None
    if row is None:
        return _begin(gateway, standing, published, actor, now)
    if row.shown_at is not None and not row.is_left_out:
        # Whoever took the last word may have died before the steps were given.
        give_steps(actor=actor, now=now)
        row.refresh_from_db()
    return row


@transaction.atomic
def begin_recovery(
    *, without: Collection[Gateway], actor: Actor, now: datetime
) -> Sequence[GatewayRecovery]:
    """Ask every gateway that is ahead for what it holds, but those left out.

    Who is left out stays closed; what only it knows to be revoked stays unknown.
    """
    rows = [*_open().select_for_update(of=("self",)).order_by("pk")]
    for row in rows:
        row.is_left_out = row.gateway in without
        if not row.is_left_out and row.asked_at is None:
            row.asked_at = now
        row.save(update_fields=["is_left_out", "asked_at"])
        record(
            EventCode.GATEWAY_RECOVERY_START,
            actor=actor,
            now=now,
            gateway=row.gateway.ref,
            details={
                "epoch": row.epoch,
                "generation": row.generation,
                "left_out": row.is_left_out,
            },
        )
    if rows:
        transaction.on_commit(lambda: give_steps(actor=actor, now=now), robust=True)
    return rows


def take_shown(
    *, gateway: Gateway, shown: Shown, actor: Actor, now: datetime
) -> GatewayRecovery:
    """Take back what this portal had signed for a gateway and has lost since.

    Raises:
        AcknowledgementError: nobody asked, or what is shown is not signed by this
            portal for this gateway, or is known here. One event was recorded.
    """
    try:
        content, held = _verified(gateway, shown)
        noticed = [key for notice in shown.notices for key in _noticed(gateway, notice)]
        with transaction.atomic():
            row = _asked(gateway)
            _import(row, content, {*content.revoked_keys, *noticed}, actor, now)
            row.epoch, row.generation = max(row.epoch, held.epoch), held.generation
            row.digest, row.shown_at = held.digest, now
            row.floor = max(held.generation + 1, min(shown.floor, MAX_FLOOR))
            row.save()
            publish_on_commit(
                gateway_ids=None, cause="gateway.recovery", actor=actor, now=now
            )
    except AcknowledgementError as exc:
        refuse_gateway_request(
            gateway=gateway, channel="revoked", reason=str(exc), actor=actor, now=now
        )
        raise
    give_steps(actor=actor, now=now)
    return row


def give_steps(*, actor: Actor, now: datetime) -> Sequence[GatewayRecovery]:
    """Sign a step for each that is ahead, once all of them have shown what they hold.

    Safe to run twice and at once: the rows are locked. Their snapshots are compiled
    when they are not any more; whoever dies in between leaves that to the sweep.
    """
    due = _give_steps(actor, now)
    publish_snapshots(
        gateway_ids=[row.gateway_id for row in due],
        cause="gateway.recovery",
        actor=actor,
        now=now,
    )
    return due


@transaction.atomic
def _give_steps(actor: Actor, now: datetime) -> Sequence[GatewayRecovery]:
    rows = [*_open().select_for_update(of=("self",)).order_by("pk")]
    rows = [row for row in rows if not row.is_left_out]
    if not rows or any(row.shown_at is None for row in rows):
        return []
    due = [row for row in rows if not row.step]
    ids = [row.gateway_id for row in due]
    for row in due:
        epoch = max(row.epoch, row.gateway.epoch) + 1
        Gateway.objects.filter(pk=row.gateway_id).update(epoch=epoch)
        row.step_epoch = epoch
    hold_gateways(ids)
    for row in due:
        _step(row, actor, now)
    Publication.objects.filter(pk__in=ids).update(
        changes=F("changes") + 1, stale_since=Coalesce("stale_since", Value(now))
    )
    return due


def _open() -> QuerySet[GatewayRecovery]:
    # A retired gateway speaks no more, so nobody waits for it.
    return GatewayRecovery.objects.filter(
        ended_at=None, gateway__state=GatewayState.ENROLLED
    ).select_related("gateway")


def _begin(
    gateway: Gateway,
    standing: Standing,
    published: Published,
    actor: Actor,
    now: datetime,
) -> GatewayRecovery | None:
    holds = standing.holds
    told = holds or Snapshotted(
        epoch=standing.epoch, generation=standing.generation, digest=""
    )
    is_running = _open().filter(asked_at__isnull=False, is_left_out=False).exists()
    before = GatewayRecovery.objects.filter(gateway=gateway).first()
    # One that goes back and forth is left out still: nobody waits for it again.
    is_left_out = is_running and before is not None and before.is_left_out
    try:
        with transaction.atomic():
            row = GatewayRecovery.objects.create(
                gateway=gateway,
                epoch=max(standing.epoch, told.epoch),
                generation=told.generation,
                digest=told.digest,
                noticed_at=now,
                # Who comes late to a recovery that was begun belongs to it.
                asked_at=now if is_running and not is_left_out else None,
                is_left_out=is_left_out,
            )
            record(
                EventCode.GATEWAY_AHEAD,
                actor=actor,
                now=now,
                outcome=Outcome.ALERT,
                gateway=gateway.ref,
                details={
                    "epoch": row.epoch,
                    "generation": row.generation,
                    "digest": row.digest,
                    "published": "{}.{}".format(*published.position),
                    "contradicts": (told.epoch, told.generation) <= published.position,
                },
            )
    except IntegrityError:
        # Of two polls at once one has noticed it.
        return GatewayRecovery.objects.filter(gateway=gateway, ended_at=None).first()
    return row


def _end(row: GatewayRecovery, actor: Actor, now: datetime) -> None:
    with transaction.atomic():
        ended = GatewayRecovery.objects.filter(pk=row.pk, ended_at=None).update(
            ended_at=now
        )
        if ended:
            record(
                EventCode.GATEWAY_RECOVERED,
                actor=actor,
                now=now,
                gateway=row.gateway.ref,
                details={"epoch": row.step_epoch or row.epoch},
            )


def _asked(gateway: Gateway) -> GatewayRecovery:
    row = (
        GatewayRecovery.objects.select_for_update()
        .filter(gateway=gateway, ended_at=None, is_left_out=False)
        .exclude(asked_at=None)
        .first()
    )
    if row is None or row.step:
        raise AcknowledgementError("nobody asked this gateway for what it holds")
    return row


def _verified(gateway: Gateway, shown: Shown) -> tuple[Content, Snapshotted]:
    """Return the snapshot that this portal's own key had signed, and its number."""
    payload = _signed(shown.snapshot, SNAPSHOT_TYPE)
    try:
        content = parse_snapshot(payload)
    except CompilerError as exc:
        msg = f"what it shows is no snapshot: {exc}"
        raise AcknowledgementError(msg) from exc
    _check_meant(gateway, content)
    held = Snapshotted(
        epoch=content.epoch, generation=content.generation, digest=digest(payload)
    )
    if selectors.is_issued(gateway, held):
        raise AcknowledgementError("what it shows is known here: nothing was lost")
    return content, held


def _noticed(gateway: Gateway, envelope: bytes) -> Collection[str]:
    """Return the keys of a notice that this portal's own key had signed."""
    payload = _signed(envelope, NOTICE_TYPE)
    try:
        notice = parse_notice(payload)
    except CompilerError as exc:
        msg = f"what it shows is no notice: {exc}"
        raise AcknowledgementError(msg) from exc
    _check_meant(gateway, notice)
    return notice.keys


def _signed(envelope: bytes, payload_type: str) -> bytes:
    """Return the payload, if this portal's own key signed it."""
    try:
        return signing.verified_payload(
            envelope,
            payload_type=payload_type,
            public_key=signing.verification_key().public_key,
        )
    except (CompilerError, SnapshotError) as exc:
        msg = f"what it shows was not signed by this portal: {exc}"
        raise AcknowledgementError(msg) from exc


def _check_meant(gateway: Gateway, content: Content | Notice) -> None:
    meant = (content.deployment, content.audience)
    if meant != (settings.PEERAGE_DEPLOYMENT, gateway.ref.id):
        msg = f"what it shows was signed for {content.audience}, not for it"
        raise AcknowledgementError(msg)


def _import(
    row: GatewayRecovery,
    content: Content,
    named: Collection[str],
    actor: Actor,
    now: datetime,
) -> None:
    """Revoke what was revoked, and know for ever every key that was ever there."""
    source = f"{row.gateway.name}, snapshot {content.epoch}.{content.generation}"
    revoked = peers_services.revoke_devices(
        devices=[*Device.objects.filter(keys__public_key__in=named).distinct()],
        reason=f"revoked before this portal was restored ({source})",
        actor=actor,
        now=now,
    )
    forgotten = peers_services.remember_keys(
        public_keys={*named, *(peer.public_key for peer in content.peers)},
        gateway=row.gateway,
        now=now,
    )
    row.devices.add(*revoked)
    row.keys_forgotten = F("keys_forgotten") + forgotten
    row.save(update_fields=["keys_forgotten"])
    row.refresh_from_db(fields=["keys_forgotten"])
    record(
        EventCode.GATEWAY_REVOCATIONS_IMPORT,
        actor=actor,
        now=now,
        gateway=row.gateway.ref,
        details={
            "epoch": content.epoch,
            "generation": content.generation,
            "devices_revoked": len(revoked),
            "keys_forgotten": forgotten,
        },
    )


def _step(row: GatewayRecovery, actor: Actor, now: datetime) -> None:
    """Sign the step; the publication's row is locked."""
    assert row.step_epoch is not None  # noqa: S101 -- for the type checker
    publication = Publication.objects.get(pk=row.gateway_id)
    floor = max(publication.generation + 1, row.floor)
    Publication.objects.filter(pk=row.gateway_id).update(generation=floor - 1)
    step = EpochStep(
        deployment=settings.PEERAGE_DEPLOYMENT,
        audience=row.gateway.ref.id,
        before=row.epoch,
        after=row.step_epoch,
        generation=floor,
        issued=now,
    )
    row.step = signing.sign(EPOCH_TYPE, epoch_bytes(step)).decode()
    row.stepped_at = now
    row.save(update_fields=["step", "step_epoch", "stepped_at"])
    record(
        EventCode.GATEWAY_EPOCH_RAISE,
        actor=actor,
        now=now,
        gateway=row.gateway.ref,
        details={"from": row.epoch, "to": row.step_epoch, "generation": floor},
    )
