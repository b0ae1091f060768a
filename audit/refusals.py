"""What strangers were refused: each of the first few, then a count of the rest.

Whoever needs no account to be refused could fill the log with refusals, and hide one
among them. So each minute holds at most ten of a code from one place, and six hundred
from everywhere; the others are counted, and when the minute is over `report` writes
one event that says how many there were and from where. Nothing is dropped uncounted.

A place is an IPv4 address or an IPv6 /64, which is what one host may choose from
(RFC 4291 §2.5.1).
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import F

from audit.actor import SYSTEM
from audit.events import EventCode, Outcome
from audit.models import RefusalCount
from audit.services import record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from audit.actor import Actor

MINUTE: Final = timedelta(minutes=1)
FROM_ONE_PLACE: Final = 10
FROM_EVERYWHERE: Final = 600
EVERYWHERE: Final = "everywhere"
NAMED_PLACES: Final = 10


@transaction.atomic
def record_refusal(
    code: EventCode,
    *,
    actor: Actor,
    now: datetime,
    **facts: Any,  # noqa: ANN401 -- the keywords of `record`, passed on
) -> None:
    """Record a refusal that anybody can cause, or count it when there are too many."""
    minute = now.replace(second=0, microsecond=0)
    # Always in this order, so that two requests never wait for each other.
    total = _locked(code, EVERYWHERE, minute)
    place = _locked(code, place_of(actor.address), minute)
    if place.recorded >= FROM_ONE_PLACE or total.recorded >= FROM_EVERYWHERE:
        _count(place, "suppressed")
        return
    _count(total, "recorded")
    _count(place, "recorded")
    record(code, actor=actor, now=now, outcome=Outcome.REFUSED, **facts)


@transaction.atomic
def count_refusal(code: EventCode, *, actor: Actor, now: datetime) -> None:
    """Only count: for what was refused unread because it came too often."""
    minute = now.replace(second=0, microsecond=0)
    _count(_locked(code, place_of(actor.address), minute), "suppressed")


@transaction.atomic
def report(*, now: datetime) -> int:
    """Record what was counted in the minutes that are over; return how many events."""
    over = RefusalCount.objects.select_for_update().filter(minute__lte=now - MINUTE)
    counts = list(over.order_by("minute", "code", "-suppressed", "place"))
    RefusalCount.objects.filter(pk__in=[count.pk for count in counts]).delete()
    grouped: dict[tuple[datetime, str], list[RefusalCount]] = {}
    for count in counts:
        if count.suppressed:
            grouped.setdefault((count.minute, count.code), []).append(count)
    for found in grouped.values():
        _report(found, now)
    return len(grouped)


def place_of(address: str) -> str:
    """Return the place an address belongs to; empty for none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address):
        return str(ip_network((int(parsed), 64), strict=False))
    return str(parsed)


def _locked(code: EventCode, place: str, minute: datetime) -> RefusalCount:
    count, _ = RefusalCount.objects.select_for_update().get_or_create(
        code=code.value, place=place, minute=minute
    )
    return count


def _count(count: RefusalCount, column: str) -> None:
    RefusalCount.objects.filter(pk=count.pk).update(**{column: F(column) + 1})


def _report(found: Sequence[RefusalCount], now: datetime) -> None:
    record(
        EventCode.REFUSALS_SUPPRESSED,
        actor=SYSTEM,
        now=now,
        outcome=Outcome.ALERT,
        details={
            "code": found[0].code,
            "minute": found[0].minute.isoformat(),
            "suppressed": sum(count.suppressed for count in found),
            "places": len(found),
            "most_from": {
                count.place or "unknown": count.suppressed
                for count in found[:NAMED_PLACES]
            },
        },
    )
