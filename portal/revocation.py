"""Revoking a person everywhere, in one transaction (DESIGN §3): never a queued task.

In this order: the person is disabled; sessions, tokens, devices, keys and requests end;
a notice to every gateway names the keys; what each gateway must then confirm is written
down. When it commits, the gateways are woken. Nothing is compiled before that, and no
policy that does not compile keeps anybody waiting: the notice needs none (ADR-0019).
The snapshot without the person follows; where there can be no whole one it is reduced
from the last. Only a portal without its signing key leaves a part unconfirmed.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from django.db import transaction

from audit import room
from audit.actor import Ref
from audit.events import EventCode
from audit.services import event, record, record_all
from peers import services as peers_services
from peers.models import Device
from peers.names import plain_reason
from peers.selectors import enrolled_gateways
from policies import services as policies_services
from policies.models import Revocation, RevocationTarget
from portal.accounts import credentials
from portal.accounts import services as accounts_services
from portal.accounts.models import User

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from django.db.models import QuerySet

    from audit.actor import Actor
    from peers.models import Gateway

EVERYWHERE: Final = "user_revoked"
BATCH: Final = 1000


def revoke_user(
    *, user: User, reason: str, actor: Actor, requested_at: datetime, now: datetime
) -> Revocation:
    """Revoke a person everywhere and return what waits for the gateways.

    Revoking again is safe: what ended has ended, and gateways that enforce it
    already count as done. `requested_at` is the click, from which effect is measured.
    """
    [revocation] = revoke_users(
        users=[user], reason=reason, actor=actor, requested_at=requested_at, now=now
    )
    return revocation


@transaction.atomic
def revoke_users(
    *,
    users: Collection[User],
    reason: str,
    actor: Actor,
    requested_at: datetime,
    now: datetime,
) -> list[Revocation]:
    """Revoke people everywhere at once; return a revocation of each, by id of person.

    One transaction, one notice and one publication for all of them: a gateway hears
    of everybody in the same moment. Each person has the events of a revocation, and
    the act has one besides.
    """
    # A page of a table may be needed before the first event looks (ADR-0037).
    room.make()
    held = [*_held(user.pk for user in users)]
    gateways = [*enrolled_gateways()]
    why = plain_reason(reason)
    accounts_services.deactivate_users(
        users=held, reason=why, actor=actor, now=now, is_told=True
    )
    sessions = accounts_services.end_sessions(users=held, actor=actor, now=now)
    tokens = accounts_services.revoke_tokens(users=held, now=now)
    made = credentials.revoke_credentials_of(users=held, actor=actor, now=now)
    devices = peers_services.revoke_devices_of(
        users=held, reason=EVERYWHERE, actor=actor, now=now
    )
    policies_services.cancel_requests_of(
        users=held, reason="the person was revoked", actor=actor, now=now
    )
    revocations = Revocation.objects.bulk_create(
        Revocation(
            user=user,
            requested_at=requested_at,
            actor_label=actor.label[:255],
            reason=why,
            sessions_ended=sessions.get(user.pk, 0),
            tokens_revoked=tokens.get(user.pk, 0) + made.get(user.pk, 0),
        )
        for user in held
    )
    _keep_devices(revocations, devices)
    _record(revocations, devices, gateways, actor, now)
    if not _tell(revocations, gateways, now):
        policies_services.publish_on_commit(
            gateway_ids=None, cause="revocation", actor=actor, now=now
        )
    ids = [revocation.pk for revocation in revocations]
    transaction.on_commit(partial(_note_commit, ids), robust=True)
    return revocations


def _held(user_ids: Iterable[int]) -> QuerySet[User]:
    """Return people, locked, in order of id."""
    # A grant that names a person is no reason to wait: keys are not changed here.
    rows = User.objects.select_for_update(no_key=True)
    return rows.filter(pk__in=set(user_ids)).order_by("pk")


def _keep_devices(revocations: Sequence[Revocation], devices: Sequence[Device]) -> None:
    by_user = {revocation.user_id: revocation for revocation in revocations}
    through = Revocation.devices.through
    through._default_manager.bulk_create(
        (
            through(revocation_id=by_user[device.owner_id].pk, device_id=device.pk)
            for device in devices
        ),
        batch_size=BATCH,
    )


def _record(
    revocations: Sequence[Revocation],
    devices: Sequence[Device],
    gateways: Sequence[Gateway],
    actor: Actor,
    now: datetime,
) -> None:
    of: defaultdict[int, list[str]] = defaultdict(list)
    for device in devices:
        of[device.owner_id].append(device.ref.id)
    told = [gateway.ref.id for gateway in gateways]
    record_all(
        event(
            EventCode.REVOCATION_REQUEST,
            actor=actor,
            now=now,
            person=revocation.user.ref,
            target=Ref(id=f"rv_{revocation.pk}", label=str(revocation)),
            reason=revocation.reason,
            details={
                "devices": of[revocation.user_id],
                "gateways": told,
                "sessions": revocation.sessions_ended,
                "tokens": revocation.tokens_revoked,
                "requested_at": revocation.requested_at.isoformat(),
            },
        )
        for revocation in revocations
    )
    if len(revocations) > 1:
        record(
            EventCode.REVOCATION_MANY,
            actor=actor,
            now=now,
            reason=revocations[0].reason,
            details={
                "people": len(revocations),
                "devices": len(devices),
                "first": f"rv_{revocations[0].pk}",
                "last": f"rv_{revocations[-1].pk}",
            },
        )


def _tell(
    revocations: Sequence[Revocation], gateways: Sequence[Gateway], now: datetime
) -> bool:
    """Issue the notice; write down what gateways must confirm.

    Returns whether there is one: none is of people who never had a key.
    """
    # Last: its number is taken until the commit, and others wait for it. Of all the
    # devices there ever were, so that doing it again tells every gateway again.
    owners = [revocation.user_id for revocation in revocations]
    notice = policies_services.issue_notice(
        devices=[*Device.objects.filter(owner__in=owners)], now=now
    )
    Revocation.objects.filter(pk__in=[r.pk for r in revocations]).update(notice=notice)
    for revocation in revocations:
        revocation.notice = notice
    is_done = notice is None
    RevocationTarget.objects.bulk_create(
        (
            RevocationTarget(
                revocation=revocation,
                gateway=gateway,
                enforced_at=now if is_done else None,
                flows_cut=0 if is_done else None,
            )
            for revocation in revocations
            for gateway in gateways
        ),
        batch_size=BATCH,
    )
    return notice is not None


def _note_commit(revocation_ids: Sequence[int]) -> None:
    now = datetime.now(UTC)  # noqa: TID251 -- known only now
    Revocation.objects.filter(pk__in=revocation_ids).update(committed_at=now)
