"""How often strangers may try something, each minute and from one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.cache import cache

from audit.refusals import place_of

if TYPE_CHECKING:
    from datetime import datetime

KEEP_SECONDS = 120


def is_too_often(what: str, *, address: str, limit: int, now: datetime) -> bool:
    """Count a try of this minute; return whether it is one too many.

    The minute is part of the key, because a counter in the database's cache starts
    its time anew with each step and would never end while somebody tries.
    """
    minute = int(now.timestamp()) // 60
    key = f"peerage.tries.{what}.{place_of(address)}.{minute}"
    cache.add(key, 0, timeout=KEEP_SECONDS)
    try:
        return cache.incr(key) > limit
    except ValueError:
        return False  # The cache forgot it between the two lines.
