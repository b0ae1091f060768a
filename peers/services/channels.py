"""How far each channel of a gateway has counted, and what a second holder brings.

Nothing is locked: a position moves by comparing and exchanging it in one UPDATE, and
whoever loses judges again by what the other one wrote.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db import transaction

from audit.events import EventCode, Outcome
from audit.services import record
from peers.models import Gateway, GatewayChannel
from peers.names import plain_reason
from peers.sequences import Position, Verdict, advanced, judge

if TYPE_CHECKING:
    from audit.actor import Actor


def advance_channel(*, gateway: Gateway, channel: str, seen: Position) -> Verdict:
    """Judge a signed request by the channel's position; move it if it is accepted."""
    rows = GatewayChannel.objects.filter(gateway=gateway, name=channel)
    while True:
        row = rows.first()
        if row is None:
            GatewayChannel.objects.bulk_create(
                [GatewayChannel(gateway=gateway, name=channel)], ignore_conflicts=True
            )
            continue
        verdict = judge(row.position, seen)
        if verdict is not Verdict.ACCEPTED:
            return verdict
        next_position = advanced(row.position, seen)
        if rows.filter(sequence=row.sequence, signed_at=row.signed_at).update(
            sequence=next_position.sequence,
            signed_at=datetime.fromtimestamp(next_position.created, UTC),
        ):
            return verdict


@transaction.atomic
def quarantine_gateway(
    *,
    gateway: Gateway,
    channel: str,
    seen: Position,
    actor: Actor,
    now: datetime,
    is_former_key: bool = False,
) -> Gateway:
    """Give a gateway nothing any more: two hold its key. Doing it again does nothing.

    Its kernel closes when its lease ends. Snapshots are compiled and revocations
    counted for it as before, so that releasing it has nothing to make up for.
    """
    changed = Gateway.objects.filter(pk=gateway.pk, quarantined_at__isnull=True).update(
        quarantined_at=now
    )
    gateway.refresh_from_db(fields=("quarantined_at",))
    if changed:
        row = GatewayChannel.objects.filter(gateway=gateway, name=channel).first()
        last = row.position if row else Position()
        record(
            EventCode.GATEWAY_QUARANTINE,
            actor=actor,
            now=now,
            outcome=Outcome.ALERT,
            gateway=gateway.ref,
            reason="two hold the key of this gateway",
            details={
                "channel": channel,
                "is_former_key": is_former_key,
                "sequence": seen.sequence,
                "created": seen.created,
                "last_sequence": last.sequence,
                "last_created": last.created,
            },
        )
    return gateway


@transaction.atomic
def release_gateway(
    *, gateway: Gateway, reason: str, actor: Actor, now: datetime
) -> Gateway:
    """Let a gateway speak again: somebody says that one holder of its key is left.

    That one may be the older copy, so every channel begins anew, but only with what is
    signed from now on. Two that speak are found again. Releasing a gateway that is not
    in quarantine changes nothing.
    """
    held = Gateway.objects.filter(pk=gateway.pk, quarantined_at__isnull=False)
    if held.update(quarantined_at=None):
        _begin_anew(gateway, now)
        record(
            EventCode.GATEWAY_RELEASE,
            actor=actor,
            now=now,
            gateway=gateway.ref,
            reason=plain_reason(reason),
        )
    gateway.refresh_from_db(fields=("quarantined_at",))
    return gateway


def _begin_anew(gateway: Gateway, now: datetime) -> None:
    """Set every channel to 0, at the later of now and what was signed already."""
    channels = GatewayChannel.objects.filter(gateway=gateway)
    channels.filter(signed_at__isnull=True).update(signed_at=now)
    channels.filter(signed_at__lt=now).update(signed_at=now)
    channels.update(sequence=0)
