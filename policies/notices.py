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
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from peers.models import Gateway

KEEP: Final = timedelta(minutes=10)
AT_ONCE: Final = 200
"""Notices in one answer; the next answer brings the rest."""


def latest_number() -> int:
    """Return the number of the last notice, 0 for none."""
    return RevocationNotice.objects.aggregate(last=Max("number"))["last"] or 0


def positions(
    gateway_ids: Collection[int] | None = None, *, now: datetime
) -> Mapping[int, tuple[int, int]]:
    """Return the number of the last notice that is news at all, second of a pair.

    `None` is every gateway that was ever published.
    """
    recent = RevocationNotice.objects.filter(issued_at__gt=now - KEEP)
    young = recent.aggregate(last=Max("number"))["last"] or 0
    last = young or latest_number()
    return {
        gateway_id: (0, last if covered < last else young)
        for gateway_id, covered in _covered(gateway_ids).items()
    }


def news_for(
    asked: Sequence[tuple[Gateway, int]], *, now: datetime
) -> Sequence[Sequence[Notice]]:
    """Return the notices that are news to each gateway above its number, in order."""
    covered = _covered([gateway.pk for gateway, _ in asked])
    recent = Q(issued_at__gt=now - KEEP)
    # Most ask from the same place; who asks from far behind takes nothing from them.
    rows: dict[tuple[int, int], Sequence[RevocationNotice]] = {}
    news = []
    for gateway, after in asked:
        place = (after, covered[gateway.pk])
        if place not in rows:
            fresh = RevocationNotice.objects.filter(
                Q(number__gt=covered[gateway.pk]) | recent, number__gt=after
            )
            rows[place] = [*fresh.order_by("number")[:AT_ONCE]]
        news.append([_notice(row, gateway) for row in rows[place]])
    return news


def signed_notice(notice: Notice) -> bytes:
    """Return a notice as the bytes of an envelope.

    Raises:
        SigningKeyError: the key file is absent, malformed, or readable by others.
    """
    return signing.sign(NOTICE_TYPE, notice_bytes(notice))


def _notice(row: RevocationNotice, gateway: Gateway) -> Notice:
    return Notice(
        deployment=settings.PEERAGE_DEPLOYMENT,
        audience=gateway.ref.id,
        epoch=gateway.epoch,
        number=row.number,
        issued=row.issued_at,
        devices=frozenset(row.devices),
        keys=frozenset(row.keys),
    )


def _covered(gateway_ids: Collection[int] | None) -> Mapping[int, int]:
    """Return what each gateway's snapshot covers; one without any covers nothing."""
    rows = Publication.objects.all()
    if gateway_ids is not None:
        rows = rows.filter(pk__in=gateway_ids)
    return dict.fromkeys(gateway_ids or (), 0) | dict(
        rows.values_list("gateway_id", "notices")
    )
