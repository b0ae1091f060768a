"""Notices of revocation as gateways get them: which are news, and signed (ADR-0019).

A notice is news to a gateway that has not heard of its number, as long as the
published snapshot does not cover it, and for some minutes longer: a gateway may still
be busy with an older snapshot. What a snapshot covers, a gateway that comes later
learns from the snapshot.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db.models import Max, Q

from policies import signing
from policies.compiler.envelope import NOTICE_TYPE
from policies.compiler.notice import Notice, notice_bytes
from policies.models import Publication, RevocationNotice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from peers.models import Gateway

KEEP: Final = timedelta(minutes=10)
AT_ONCE: Final = 200
"""Notices in one answer; the next answer brings the rest."""


def latest_number() -> int:
    """Return the number of the last notice, 0 for none."""
    return RevocationNotice.objects.aggregate(last=Max("number"))["last"] or 0


def position(gateway_id: int, *, now: datetime) -> tuple[int, int]:
    """Return the number of the last notice that is news at all, second of a pair."""
    last = _news(_covered(gateway_id), now=now).aggregate(last=Max("number"))["last"]
    return 0, last or 0


def positions(*, now: datetime) -> Mapping[int, tuple[int, int]]:
    """Return the position of every gateway."""
    recent = RevocationNotice.objects.filter(issued_at__gt=now - KEEP)
    young = recent.aggregate(last=Max("number"))["last"] or 0
    last = young or latest_number()
    rows = Publication.objects.values_list("gateway_id", "notices")
    return {
        gateway_id: (0, last if covered < last else young)
        for gateway_id, covered in rows
    }


def news_for(gateway: Gateway, after: int, *, now: datetime) -> Sequence[Notice]:
    """Return the notices above `after` that are news to a gateway, in order."""
    rows = _news(_covered(gateway.pk), now=now).filter(number__gt=after)
    return [
        Notice(
            deployment=settings.PEERAGE_DEPLOYMENT,
            audience=gateway.ref.id,
            epoch=gateway.epoch,
            number=row.number,
            issued=row.issued_at,
            devices=frozenset(row.devices),
            keys=frozenset(row.keys),
        )
        for row in rows.order_by("number")[:AT_ONCE]
    ]


def signed_notice(notice: Notice) -> bytes:
    """Return a notice as the bytes of an envelope.

    Raises:
        SigningKeyError: the key file is absent, malformed, or readable by others.
    """
    return signing.sign(NOTICE_TYPE, notice_bytes(notice))


def _news(covered: int, *, now: datetime) -> QuerySet[RevocationNotice]:
    return RevocationNotice.objects.filter(
        Q(number__gt=covered) | Q(issued_at__gt=now - KEEP)
    )


def _covered(gateway_id: int) -> int:
    row = Publication.objects.filter(pk=gateway_id)
    return row.values_list("notices", flat=True).first() or 0
