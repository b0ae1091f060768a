"""Revoking a person everywhere, in one transaction (DESIGN §3): never a queued task.

In this order: the person is disabled; sessions, tokens, devices, keys and requests end;
every enrolled gateway gets a snapshot without them; what each gateway must then confirm
is written down. When it commits, the gateways are woken before anything else happens.
A gateway whose policy does not compile keeps nobody else waiting and still gets a
snapshot without the person, reduced from its last; only one without any, or a portal
without its signing key, leaves a part unconfirmed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from django.db import transaction

from audit.actor import Ref
from audit.events import EventCode
from audit.services import record
from peers import services as peers_services
from peers.models import DeviceKey
from peers.names import plain_reason
from peers.selectors import enrolled_gateways
from policies import notifier
from policies import services as policies_services
from policies.compiler.envelope import open_envelope
from policies.compiler.snapshot import parse_snapshot
from policies.models import (
    Acknowledgement,
    Publication,
    Revocation,
    RevocationTarget,
)
from portal.accounts import credentials
from portal.accounts import services as accounts_services
from portal.accounts.models import User

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audit.actor import Actor
    from peers.models import Device, Gateway

EVERYWHERE: Final = "user_revoked"


@transaction.atomic
def revoke_user(
    *, user: User, reason: str, actor: Actor, requested_at: datetime, now: datetime
) -> Revocation:
    """Revoke a person everywhere and return what waits for the gateways.

    Revoking again is safe: what ended has ended, and gateways that enforce it
    already count as done. `requested_at` is the click, from which effect is measured.
    """
    user = User.objects.select_for_update().get(pk=user.pk)
    gateways = [*enrolled_gateways()]
    # First in line, so that no other work after the commit delays a gateway.
    transaction.on_commit(
        partial(notifier.notify, [gateway.pk for gateway in gateways]), robust=True
    )
    why = plain_reason(reason)
    accounts_services.deactivate_user(user=user, reason=why, actor=actor, now=now)
    sessions = accounts_services.end_sessions(user=user, actor=actor, now=now)
    tokens = accounts_services.revoke_tokens(user=user, now=now)
    tokens += credentials.revoke_credentials_of(user=user, actor=actor, now=now)
    devices = peers_services.revoke_devices_of(
        user=user, reason=EVERYWHERE, actor=actor, now=now
    )
    policies_services.cancel_requests_of(
        user=user, reason="the person was revoked", actor=actor, now=now
    )
    policies_services.publish_snapshots(
        gateway_ids=[gateway.pk for gateway in gateways],
        cause="revocation",
        actor=actor,
        now=now,
    )
    revocation = Revocation.objects.create(
        user=user,
        requested_at=requested_at,
        actor_label=actor.label[:255],
        reason=why,
        sessions_ended=sessions,
        tokens_revoked=tokens,
    )
    revocation.devices.set(devices)
    _record(revocation, devices, gateways, actor, now)
    for gateway in gateways:
        _expect(revocation, gateway, now)
    transaction.on_commit(partial(_note_commit, revocation), robust=True)
    return revocation


def _record(
    revocation: Revocation,
    devices: Sequence[Device],
    gateways: Sequence[Gateway],
    actor: Actor,
    now: datetime,
) -> None:
    record(
        EventCode.REVOCATION_REQUEST,
        actor=actor,
        now=now,
        person=revocation.user.ref,
        target=Ref(id=f"rv_{revocation.pk}", label=str(revocation)),
        reason=revocation.reason,
        details={
            "devices": [device.ref.id for device in devices],
            "gateways": [gateway.ref.id for gateway in gateways],
            "sessions": revocation.sessions_ended,
            "tokens": revocation.tokens_revoked,
            "requested_at": revocation.requested_at.isoformat(),
        },
    )


def _expect(revocation: Revocation, gateway: Gateway, now: datetime) -> None:
    """Write down what a gateway must confirm; done if it enforces that already."""
    publication = Publication.objects.select_related("snapshot").get(pk=gateway.pk)
    target = RevocationTarget(revocation=revocation, gateway=gateway)
    if _is_without(publication, revocation.user):
        target.generation = publication.generation
        if Acknowledgement.objects.filter(
            gateway=gateway,
            epoch=publication.epoch,
            generation=publication.generation,
            in_force=True,
        ).exists():
            target.enforced_at = now
            target.flows_cut = 0
    target.save()


def _is_without(publication: Publication, user: User) -> bool:
    """Return whether the current snapshot is certain to hold no key of the person."""
    if publication.snapshot is None:
        return False
    if not publication.failure:
        return True
    # Its policy is broken; what was published instead must be looked at.
    envelope = open_envelope(publication.snapshot.envelope.encode())
    peers = parse_snapshot(envelope.payload).peers
    keys = DeviceKey.objects.filter(device__owner=user)
    return {peer.public_key for peer in peers}.isdisjoint(
        keys.values_list("public_key", flat=True)
    )


def _note_commit(revocation: Revocation) -> None:
    revocation.committed_at = datetime.now(UTC)  # noqa: TID251 -- known only now
    revocation.save(update_fields=["committed_at"])
