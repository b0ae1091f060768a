"""Hears that people or peers changed, and publishes on commit. Nothing else.

Every enrolled gateway is compiled: who left a group cannot be found through the
group any more, and a revoked key must be known everywhere. Where nothing changed,
nothing is published. A new proof of who somebody is concerns only the gateways where
a grant demands one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from django.dispatch import receiver

from audit.actor import SYSTEM
from peers.models import Device
from peers.signals import peers_changed
from policies import services
from policies.selectors import gateways_demanding_proof
from portal.accounts.signals import people_changed


@receiver(peers_changed, dispatch_uid="policies.peers_changed")
def publish_for_peers(
    *, revoked: Sequence[Device] = (), is_told: bool = False, **_kwargs: object
) -> None:
    """Devices, keys or gateways changed.

    Of what is revoked a notice runs ahead, which makes every gateway out of date by
    itself: no revocation waits for a row that whoever changes policies holds.
    """
    if is_told or (revoked and services.issue_notice(devices=revoked, now=_now())):
        return
    _publish("peers.changed")


@receiver(people_changed, dispatch_uid="policies.people_changed")
def publish_for_people(
    *,
    user_ids: frozenset[int],
    is_proof: bool = False,
    is_told: bool = False,
    **_kwargs: object,
) -> None:
    """Memberships, the active flag, or the latest proofs of people changed.

    A proof concerns only the gateways where a grant demands one of them: people sign
    in all day, and most gateways need not hear of it.
    """
    if is_told:
        return
    if not is_proof:
        _publish("people.changed")
        return
    concerned = gateways_demanding_proof(user_ids).values_list("pk", flat=True)
    _publish("people.proof.changed", [*concerned])


def _publish(cause: str, gateway_ids: list[int] | None = None) -> None:
    services.publish_on_commit(
        gateway_ids=gateway_ids,
        cause=cause,
        actor=SYSTEM,
        now=_now(),
    )


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- a signal carries no moment
