"""Revoking a person everywhere, in one transaction (DESIGN §3): never a queued task.

In this order: the person is disabled; sessions, tokens, devices, keys and requests end;
a notice to every gateway names the keys; what each gateway must then confirm is written
down. When it commits, the gateways are woken. Nothing is compiled before that, and no
policy that does not compile keeps anybody waiting: the notice needs none (ADR-0019).
The snapshot without the person follows; where there can be no whole one it is reduced
from the last. Only a portal without its signing key leaves a part unconfirmed.
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
from peers.names import plain_reason
from peers.selectors import enrolled_gateways
from policies import services as policies_services
from policies.models import Revocation, RevocationTarget
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
    # A grant that names the person is no reason to wait: keys are not changed here.
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    gateways = [*enrolled_gateways()]
    why = plain_reason(reason)
    accounts_services.deactivate_user(
        user=user, reason=why, actor=actor, now=now, is_told=True
    )
    sessions = accounts_services.end_sessions(user=user, actor=actor, now=now)
    tokens = accounts_services.revoke_tokens(user=user, now=now)
    tokens += credentials.revoke_credentials_of(user=user, actor=actor, now=now)
    devices = peers_services.revoke_devices_of(
        user=user, reason=EVERYWHERE, actor=actor, now=now
    )
    policies_services.cancel_requests_of(
        user=user, reason="the person was revoked", actor=actor, now=now
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
    # Last: its number is taken until the commit, and others wait for it. Of all the
    # devices there ever were, so that doing it again tells every gateway again.
    revocation.notice = policies_services.issue_notice(
        devices=[*user.devices.all()], now=now
    )
    revocation.save(update_fields=["notice"])
    if revocation.notice is None:
        policies_services.publish_on_commit(
            gateway_ids=None, cause="revocation", actor=actor, now=now
        )
    _expect(revocation, gateways, now)
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


def _expect(revocation: Revocation, gateways: Sequence[Gateway], now: datetime) -> None:
    """Write down what gateways must confirm; nothing, of who never had a key."""
    is_done = revocation.notice is None
    RevocationTarget.objects.bulk_create(
        RevocationTarget(
            revocation=revocation,
            gateway=gateway,
            enforced_at=now if is_done else None,
            flows_cut=0 if is_done else None,
        )
        for gateway in gateways
    )


def _note_commit(revocation: Revocation) -> None:
    revocation.committed_at = datetime.now(UTC)  # noqa: TID251 -- known only now
    revocation.save(update_fields=["committed_at"])
