"""Hears that people or peers changed, and publishes on commit. Nothing else.

Every enrolled gateway is compiled: who left a group cannot be found through the
group any more, and a revoked key must be known everywhere. Where nothing changed,
nothing is published.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.dispatch import receiver

from audit.actor import SYSTEM
from peers.signals import peers_changed
from policies import services
from portal.accounts.signals import people_changed


@receiver(peers_changed, dispatch_uid="policies.peers_changed")
def publish_for_peers(**_kwargs: object) -> None:
    """Devices, keys or gateways changed."""
    _publish("peers.changed")


@receiver(people_changed, dispatch_uid="policies.people_changed")
def publish_for_people(*, is_proof: bool = False, **_kwargs: object) -> None:
    """Memberships or the active flag of people changed."""
    # No grant demands a proof of who somebody is.
    if not is_proof:
        _publish("people.changed")


def _publish(cause: str) -> None:
    services.publish_on_commit(
        gateway_ids=None,
        cause=cause,
        actor=SYSTEM,
        now=datetime.now(UTC),  # noqa: TID251 -- a signal carries no moment
    )
