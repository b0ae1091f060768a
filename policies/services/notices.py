"""Notices of revocation: written with the revocation, reported by each gateway.

Writing one needs nothing but the database, no key and no compiled policy, and waits for
no publisher: what could fail or take long comes after the gateways have been told.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, transaction
from django.db.models import Q

from audit.actor import SYSTEM
from audit.events import EventCode, Outcome
from audit.services import record
from peers.models import DeviceKey, KeyState
from peers.selectors import enrolled_gateways
from policies import notices, notifier
from policies.errors import AcknowledgementError
from policies.models import (
    AgentState,
    RevocationNotice,
    RevocationTarget,
    Snapshot,
)
from policies.services.publishing import publish_due
from policies.services.refusals import refuse_gateway_request
from policies.services.revocations import close_target

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from audit.actor import Actor
    from peers.models import Device, Gateway
    from policies.reports import NoticeReport


LIVING: Final = timedelta(seconds=60)
"""An agent asks anew at least every 25 seconds."""


@transaction.atomic
def issue_notice(
    *, devices: Collection[Device], now: datetime
) -> RevocationNotice | None:
    """Tell every gateway, when this commits, that these devices are revoked.

    Returns None, and tells nobody, if none of them ever had a key.
    """
    ids = [device.pk for device in devices]
    revoked = DeviceKey.objects.filter(device__in=ids, state=KeyState.REVOKED)
    keys = sorted(revoked.values_list("public_key", flat=True))
    if not keys:
        return None
    notice = None
    while notice is None:
        notice = _numbered(devices=sorted(ids), keys=keys, issued_at=now)
    # robust: the revocation has been committed; a failure here must not deny that.
    transaction.on_commit(notifier.notify_notices, robust=True)
    return notice


def note_notified(*, gateway: Gateway, number: int, now: datetime) -> None:
    """Note that all notices up to a number were written to a gateway's request."""
    RevocationTarget.objects.filter(
        gateway=gateway,
        notified_at__isnull=True,
        reported_at__isnull=True,
        revocation__notice__number__lte=number,
    ).update(notified_at=now)


def record_notice_report(
    *, gateway: Gateway, report: NoticeReport, actor: Actor, now: datetime
) -> None:
    """Record that a gateway enforces all notices up to one; close those revocations.

    A report that was sent twice changes nothing the second time. Nor does one of an
    epoch that is over: its numbers are other notices.

    Raises:
        AcknowledgementError: there is no notice of that number, or no such epoch.
    """
    if report.epoch < gateway.epoch:
        return
    if report.epoch > gateway.epoch or report.number > notices.latest_number():
        msg = f"notice {report.epoch}.{report.number} was never issued"
        refuse_gateway_request(
            gateway=gateway, channel="notices", reason=msg, actor=actor, now=now
        )
        raise AcknowledgementError(msg)
    with transaction.atomic():
        AgentState.objects.get_or_create(gateway=gateway)
        is_failure = report.applied_at is None
        if not is_failure:
            news = AgentState.objects.filter(gateway=gateway, notice__lt=report.number)
            if not news.update(notice=report.number):
                return
        _record(gateway, report, actor, now)
        if not is_failure:
            _close(gateway, report, actor, now)


def publish_answered(*, now: datetime) -> list[Snapshot]:
    """Publish what waited for gateways to enforce a notice, when all have that live.

    Compiling keeps a processor busy, and gateways shall not wait for that. Where one
    does not answer, the sweep publishes some seconds later.
    """
    last = notices.latest_number()
    heard = AgentState.objects.filter(notice__gte=last).values("gateway")
    living = enrolled_gateways().filter(seen_at__gt=now - LIVING)
    if living.exclude(pk__in=heard).exists():
        return []
    due = Q(publication__stale_since__isnull=False) | Q(publication__notices__lt=last)
    return publish_due(due, cause="revocation", actor=SYSTEM, now=now)


def _numbered(
    *, devices: list[int], keys: list[str], issued_at: datetime
) -> RevocationNotice | None:
    """Write a notice under the next number, or None if somebody else took it.

    Taking a number that another transaction holds waits until that one has ended.
    """
    try:
        with transaction.atomic():
            return RevocationNotice.objects.create(
                number=notices.latest_number() + 1,
                devices=devices,
                keys=keys,
                issued_at=issued_at,
            )
    except IntegrityError:
        return None


def _record(
    gateway: Gateway, report: NoticeReport, actor: Actor, now: datetime
) -> None:
    applied = report.applied_at
    is_failure = applied is None
    record(
        EventCode.GATEWAY_APPLY_FAILED if is_failure else EventCode.GATEWAY_APPLY,
        actor=actor,
        now=now,
        outcome=Outcome.FAILED if is_failure else Outcome.DONE,
        gateway=gateway.ref,
        reason=report.error,
        details={
            "epoch": report.epoch,
            "notice": report.number,
            "applied_at": applied.isoformat() if applied else None,
            "flows_cut": report.flows_cut,
            # Events hold no floats.
            "total_us": round(report.timings["total_ms"] * 1000),
            "agent_version": report.agent_version,
            "boot_id": report.boot_id,
        },
    )


def _close(gateway: Gateway, report: NoticeReport, actor: Actor, now: datetime) -> None:
    waiting = RevocationTarget.objects.filter(
        gateway=gateway,
        enforced_at__isnull=True,
        revocation__notice__number__lte=report.number,
    ).select_related("revocation__user")
    for target in waiting.order_by("pk"):
        close_target(
            target,
            gateway=gateway,
            applied_at=report.applied_at or now,
            received_at=report.received_at,
            flows_cut=report.flows_cut,
            timings=dict(report.timings),
            by={"notice": report.number},
            actor=actor,
            now=now,
        )
