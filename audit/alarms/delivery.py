"""Sending notifications: at least once, with retries, by any number of workers.

1. A notification that is due is taken by a conditional UPDATE that counts the try and
   puts off the next one; whoever changes no row has lost it to another worker.
2. It is sent. Every try carries the same `X-Peerage-Delivery`, by which a receiver
   knows one it has had.
3. What arrived, and what is given up, is an event (`AU009I`, `AU009E`). A try that
   failed in between is on the channel's page.

A run is bounded: it begins at most `BATCH` notifications and none after `TURN`. A
channel that failed is not tried again in the same run, so one that hangs costs a run
its time limit once.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F, QuerySet
from django.template.loader import render_to_string

from audit.actor import SYSTEM
from audit.alarms.errors import DeliveryError
from audit.alarms.models import (
    AlarmChannel,
    ChannelKind,
    Delivery,
    DeliveryState,
)
from audit.alarms.payloads import PARTIES, Told, slack_body, webhook_body
from audit.alarms.routing import wait_after
from audit.events import EventCode, Outcome
from audit.kept_secrets import SecretError, said
from audit.outbound import OutboundError, post, signed_headers
from audit.services import record
from audit.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

BATCH: Final = 20
TURN: Final = timedelta(seconds=10)
HOLD: Final = timedelta(minutes=2)
"""Longer than any try takes; then a worker that died has lost the notification."""
ERROR_LENGTH: Final = 255
SUBJECT_LENGTH: Final = 200
KEPT: Final = timedelta(days=90)


def deliver_due(*, clock: Callable[[], datetime]) -> int:
    """Send what is due, within bounds; return how many notifications arrived."""
    began = clock()
    due = Delivery.objects.filter(
        state=DeliveryState.WAITING, next_attempt_at__lte=began, channel__enabled=True
    ).order_by("next_attempt_at", "pk")
    arrived, failed = 0, set[int]()
    for found in list(due.select_related("channel", "alarm")[:BATCH]):
        if clock() - began >= TURN:
            break
        if found.channel_id in failed or not _taken(found, clock()):
            continue
        if deliver(found, now=clock()):
            arrived += 1
        else:
            failed.add(found.channel_id)
    return arrived


def deliver(found: Delivery, *, now: datetime) -> bool:
    """Send one notification that was taken; return whether it arrived."""
    try:
        send(found, now=now)
    except (DeliveryError, OutboundError, SecretError) as exc:
        _failed(found, str(exc), now)
        return False
    _arrived(found, now)
    return True


def send(found: Delivery, *, now: datetime) -> None:
    """Send one notification.

    Raises:
        DeliveryError: the other side did not take it.
        OutboundError: there is no way to the other side.
        SecretError: the channel's secret cannot be read.
    """
    channel, told = found.channel, described(found)
    if channel.kind == ChannelKind.MAIL:
        _mail(channel, told)
        return
    url = said(channel.kept_url, owner=url_owner(channel))
    headers = {
        "Content-Type": "application/json",
        "X-Peerage-Delivery": told.delivery,
    }
    if channel.kind == ChannelKind.WEBHOOK:
        body = webhook_body(told)
        secret = said(channel.kept_secret, owner=secret_owner(channel))
        headers |= signed_headers(secret, body, now=now)
    else:
        body = slack_body(told)
    answer = post(url, body, headers=headers)
    if not answer.is_success:
        raise DeliveryError(f"the receiver answered with status {answer.status}")


def described(found: Delivery) -> Told:
    """Return what a notification says."""
    alarm, base = found.alarm, settings.PEERAGE_BASE_URL
    common = {
        "cause": str(found.cause),
        "deployment": settings.PEERAGE_DEPLOYMENT,
        "delivery": str(found.uid),
    }
    if alarm is None:
        return Told(
            id="",
            url=f"{base}/audit/alarms/",
            rule="test",
            title="This is a test",
            severity="notice",
            state="open",
            sentence=f"Somebody tried the channel {found.channel.name}",
            runbook="Nothing: the channel works.",
            count=1,
            first_seen_at=found.created_at,
            last_seen_at=found.created_at,
            parties={},
            **common,
        )
    return Told(
        id=alarm.ref.id,
        url=f"{base}/audit/alarms/{alarm.pk}/",
        rule=alarm.rule,
        title=alarm.rule_type.title,
        severity=alarm.severity_word,
        state=alarm.state,
        sentence=alarm.sentence,
        runbook=alarm.rule_type.runbook,
        count=alarm.count,
        first_seen_at=alarm.first_seen_at,
        last_seen_at=alarm.last_seen_at,
        parties={
            role: (getattr(alarm, f"{role}_id"), getattr(alarm, f"{role}_label"))
            for role in PARTIES
        },
        **common,
    )


def url_owner(channel: AlarmChannel) -> str:
    """Return for what a channel's URL is kept."""
    return f"alarm channel url {channel.uid}"


def secret_owner(channel: AlarmChannel) -> str:
    """Return for what a channel's secret is kept."""
    return f"alarm channel secret {channel.uid}"


def forget_old(*, now: datetime) -> int:
    """Delete notifications that ended long ago; their events stay."""
    count, _ = Delivery.objects.filter(ended_at__lt=now - KEPT).delete()
    return count


def _taken(found: Delivery, now: datetime) -> bool:
    """Take a notification for this worker, counting the try."""
    taken = Delivery.objects.filter(
        pk=found.pk,
        state=DeliveryState.WAITING,
        attempts=found.attempts,
        next_attempt_at__lte=now,
    ).update(attempts=F("attempts") + 1, next_attempt_at=now + HOLD)
    found.attempts += taken
    return bool(taken)


@transaction.atomic
def _arrived(found: Delivery, now: datetime) -> None:
    if _mine(found).update(state=DeliveryState.DELIVERED, ended_at=now, last_error=""):
        _record(found, Outcome.DONE, now)


@transaction.atomic
def _failed(found: Delivery, reason: str, now: datetime) -> None:
    told = visible(reason)[:ERROR_LENGTH]
    wait = wait_after(found.attempts)
    if wait is not None:
        _mine(found).update(next_attempt_at=now + wait, last_error=told)
    elif _mine(found).update(
        state=DeliveryState.GIVEN_UP, ended_at=now, last_error=told
    ):
        _record(found, Outcome.FAILED, now, reason=told)
    logger.warning("alarm channel %s failed: %s", found.channel.ref.id, told)


def _mine(found: Delivery) -> QuerySet[Delivery]:
    return Delivery.objects.filter(
        pk=found.pk, state=DeliveryState.WAITING, attempts=found.attempts
    )


def _mail(channel: AlarmChannel, told: Told) -> None:
    if settings.EMAIL_BACKEND.endswith(".dummy.EmailBackend"):
        raise DeliveryError("no mail server is set (PEERAGE_MAIL_HOST)")
    values = {"told": told, "deployment": told.deployment}
    subject = render_to_string("emails/alarm_subject.txt", values)
    message = EmailMessage(
        subject=" ".join(subject.split())[:SUBJECT_LENGTH],
        body=render_to_string("emails/alarm_body.txt", values),
        to=channel.address.split(),
        headers={
            # Machines need not answer this (RFC 3834).
            "Auto-Submitted": "auto-generated",
            "Message-ID": f"<{told.delivery}@{urlsplit(told.url).hostname}>",
        },
    )
    try:
        message.send()
    # ValueError: an address that the mail library does not take.
    except (OSError, SMTPException, ValueError) as exc:
        raise DeliveryError(f"the mail was not taken: {type(exc).__name__}") from exc


def _record(
    found: Delivery, outcome: Outcome, now: datetime, *, reason: str = ""
) -> None:
    record(
        EventCode.WEBHOOK_DELIVER,
        actor=SYSTEM,
        now=now,
        outcome=outcome,
        target=found.channel.ref,
        reason=reason,
        details={
            "alarm": found.alarm.ref.id if found.alarm else "",
            "cause": str(found.cause),
            "kind": str(found.channel.kind),
            "attempts": found.attempts,
            "delivery": str(found.uid),
        },
    )
