"""How long a gateway may go on with what it enforces (ADR-0004)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings

from policies import signing
from policies.compiler.envelope import LEASE_TYPE
from policies.compiler.snapshot import lease_bytes
from policies.compiler.types import Lease

if TYPE_CHECKING:
    from policies.models import Snapshot


def signed_lease(snapshot: Snapshot, *, now: datetime) -> bytes:
    """Return a fresh lease for a snapshot, as the bytes of an envelope.

    Raises:
        SigningKeyError: the key file is absent, malformed, or readable by others.
    """
    lease = Lease(
        deployment=settings.PEERAGE_DEPLOYMENT,
        audience=f"gw_{snapshot.gateway_id}",
        epoch=snapshot.epoch,
        generation=snapshot.generation,
        digest=snapshot.digest,
        issued=now,
        not_after=now + timedelta(seconds=settings.PEERAGE_SNAPSHOT_LIFETIME_SECONDS),
    )
    return signing.sign(LEASE_TYPE, lease_bytes(lease))
