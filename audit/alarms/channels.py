"""Changing where alarms are sent. Every change is an event, and none holds a secret.

The secret that signs a webhook is made here and returned once. A URL is kept like a
secret: whoever has the URL of a chat's webhook may write there.
"""

from __future__ import annotations

import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from audit.alarms.delivery import secret_owner, url_owner
from audit.alarms.errors import InvalidChannelError
from audit.alarms.models import (
    AlarmChannel,
    ChannelKind,
    Delivery,
    DeliveryCause,
)
from audit.alarms.rules import RuleId, Severity
from audit.events import EventCode
from audit.kept_secrets import kept
from audit.outbound import OutboundError, checked_url
from audit.services import record
from audit.text import first_invisible

if TYPE_CHECKING:
    from collections.abc import Collection

    from audit.actor import Actor

NAME_LENGTH: Final = 64
ADDRESS_LENGTH: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelInput:
    """What a channel is to be.

    `address` is mail addresses separated by blanks or commas, or a URL; empty when a
    channel is changed keeps the one it has. `rules` empty is all.
    """

    name: str
    kind: ChannelKind
    address: str
    least_severity: Severity = Severity.NOTICE
    rules: Collection[RuleId] = ()
    enabled: bool = True


@transaction.atomic
def create_channel(
    *, wanted: ChannelInput, actor: Actor, now: datetime
) -> tuple[AlarmChannel, str]:
    """Make a channel; return it and the secret of a webhook, which is known only now.

    Raises:
        InvalidChannelError: it could not work.
    """
    channel = AlarmChannel(kind=wanted.kind, created_at=now)
    if not wanted.address.strip():
        raise InvalidChannelError("a channel has an address")
    _fill(channel, wanted)
    secret = ""
    if channel.kind == ChannelKind.WEBHOOK:
        secret = _new_secret(channel)
    channel.save()
    record(
        EventCode.ALARM_CHANNEL_CREATE,
        actor=actor,
        now=now,
        target=channel.ref,
        details=_details(channel),
    )
    return channel, secret


@transaction.atomic
def update_channel(
    *, channel: AlarmChannel, wanted: ChannelInput, actor: Actor, now: datetime
) -> AlarmChannel:
    """Change a channel; its kind and its secret stay.

    Raises:
        InvalidChannelError: it could not work.
    """
    found = AlarmChannel.objects.select_for_update().get(pk=channel.pk)
    before = _details(found)
    had_url = found.kept_url
    _fill(found, wanted)
    found.save()
    record(
        EventCode.ALARM_CHANNEL_UPDATE,
        actor=actor,
        now=now,
        target=found.ref,
        details={
            "before": before,
            "after": _details(found),
            "url_changed": found.kept_url != had_url,
        },
    )
    return found


@transaction.atomic
def renew_secret(*, channel: AlarmChannel, actor: Actor, now: datetime) -> str:
    """Give a webhook another secret and return it; the former signs nothing more.

    Raises:
        InvalidChannelError: the channel signs nothing.
    """
    found = AlarmChannel.objects.select_for_update().get(pk=channel.pk)
    if found.kind != ChannelKind.WEBHOOK:
        raise InvalidChannelError("only a webhook has a secret")
    secret = _new_secret(found)
    found.save(update_fields=["kept_secret"])
    record(
        EventCode.ALARM_CHANNEL_UPDATE,
        actor=actor,
        now=now,
        target=found.ref,
        details={"secret_changed": True},
    )
    return secret


@transaction.atomic
def delete_channel(
    *, channel: AlarmChannel, reason: str, actor: Actor, now: datetime
) -> None:
    """Delete a channel and what waits for it; the log keeps what it sent."""
    record(
        EventCode.ALARM_CHANNEL_DELETE,
        actor=actor,
        now=now,
        target=channel.ref,
        reason=reason,
        details=_details(channel),
    )
    channel.delete()


@transaction.atomic
def test_channel(*, channel: AlarmChannel, actor: Actor, now: datetime) -> Delivery:
    """Queue a test, to be sent like any alarm is."""
    record(EventCode.ALARM_CHANNEL_TEST, actor=actor, now=now, target=channel.ref)
    return Delivery.objects.create(
        channel=channel,
        cause=DeliveryCause.TEST,
        created_at=now,
        next_attempt_at=now,
    )


def _fill(channel: AlarmChannel, wanted: ChannelInput) -> None:
    name = unicodedata.normalize("NFC", wanted.name).strip()
    if not name or len(name) > NAME_LENGTH or first_invisible(name):
        raise InvalidChannelError(f"a name has 1 to {NAME_LENGTH} visible characters")
    if AlarmChannel.objects.filter(name=name).exclude(pk=channel.pk).exists():
        raise InvalidChannelError(f"there is another channel named {name}")
    channel.name = name
    channel.least_severity = wanted.least_severity
    channel.rules = " ".join(sorted(rule.value for rule in wanted.rules))
    channel.enabled = wanted.enabled
    address = wanted.address.strip()
    if not address:
        return
    if channel.kind == ChannelKind.MAIL:
        channel.address = _mail_addresses(address)
        return
    try:
        url = checked_url(address)
    except OutboundError as exc:
        raise InvalidChannelError(str(exc)) from exc
    parts = urlsplit(url)
    channel.address = f"{parts.scheme}://{parts.netloc}"[:ADDRESS_LENGTH]
    channel.kept_url = kept(url, owner=url_owner(channel))


def _mail_addresses(text: str) -> str:
    found = text.replace(",", " ").split()
    for address in found:
        try:
            validate_email(address)
        except ValidationError as exc:
            raise InvalidChannelError(f"{address} is no mail address") from exc
    joined = " ".join(dict.fromkeys(found))
    if len(joined) > ADDRESS_LENGTH:
        raise InvalidChannelError("too many mail addresses: use a list of your server")
    return joined


def _new_secret(channel: AlarmChannel) -> str:
    secret = f"peerage_wh_{secrets.token_urlsafe(32)}"
    channel.kept_secret = kept(secret, owner=secret_owner(channel))
    return secret


def _details(channel: AlarmChannel) -> dict[str, str | bool]:
    return {
        "kind": str(channel.kind),
        "address": channel.address,
        "least_severity": channel.severity_word,
        "rules": channel.rules,
        "enabled": channel.enabled,
    }
