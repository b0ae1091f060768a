"""Keys that a portal restored from a backup has forgotten, and must not take again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peers.models import DeviceKey, ForgottenKey, Gateway

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime


def remember_keys(
    *, public_keys: Collection[str], gateway: Gateway, now: datetime
) -> int:
    """Know these keys for ever where the ledger does not; return how many are new.

    The caller records the event, in its own transaction.
    """
    known = {
        key
        for rows in (DeviceKey.objects, ForgottenKey.objects)
        for key in rows.filter(public_key__in=public_keys).values_list(
            "public_key", flat=True
        )
    }
    fresh = sorted(set(public_keys) - known)
    ForgottenKey.objects.bulk_create(
        (ForgottenKey(public_key=key, gateway=gateway, learnt_at=now) for key in fresh),
        ignore_conflicts=True,
    )
    return len(fresh)
