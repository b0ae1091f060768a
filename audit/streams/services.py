"""Changing streams. Every change is an event, and none of them holds a secret.

The secret of a webhook is made here and returned once; a token or a client
certificate is what the receiver's administrator gave. Neither is ever shown again.
A change takes the stream away from a worker that delivers it at that moment, so
nothing goes on to where it went before.
"""

from __future__ import annotations

import secrets as random
import uuid
from typing import TYPE_CHECKING

from django.db import transaction

from audit.events import EventCode, Outcome
from audit.formats.records import CONTROL, Record, Severity
from audit.kept_secrets import kept
from audit.models import Log
from audit.services import Json, record
from audit.streams import source
from audit.streams.checks import SIGNED, checked_input, checked_secret
from audit.streams.errors import DeliveryError, InvalidStreamError
from audit.streams.models import Stream, StreamCursor, StreamKind
from audit.streams.receivers import receiver

if TYPE_CHECKING:
    from datetime import datetime

    from audit.actor import Actor
    from audit.streams.checks import StreamInput


def create_stream(
    *,
    wanted: StreamInput,
    secret: str = "",
    from_beginning: bool,
    actor: Actor,
    now: datetime,
) -> tuple[Stream, str]:
    """Make a stream; return it and the secret that was made for it, if one was.

    It begins with the first entry of its logs, or with the next one.

    Raises:
        InvalidStreamError: it could not work.
    """
    checked = checked_input(wanted)
    given = checked_secret(checked, secret)
    if wanted.kind == StreamKind.HEC and not given:
        raise InvalidStreamError("a Splunk collector demands a token")
    made = random.token_urlsafe(32) if wanted.kind in SIGNED else ""
    with transaction.atomic():
        stream = Stream(uid=uuid.uuid4(), created_at=now, next_attempt_at=now)
        _fill(stream, checked)
        _keep(stream, made or given)
        stream.save()
        for log in checked.logs:
            _begin(stream, log, from_beginning=from_beginning)
        record(
            EventCode.STREAM_CREATE,
            actor=actor,
            now=now,
            target=stream.ref,
            details={**_told(checked), "from_beginning": from_beginning},
        )
    return stream, made


@transaction.atomic
def update_stream(
    *,
    stream: Stream,
    wanted: StreamInput,
    secret: str = "",
    actor: Actor,
    now: datetime,
) -> Stream:
    """Change a stream; without a secret it keeps the one it has.

    Its kind stays: another kind of receiver is another stream. A log that is added
    begins with its next entry; one that is left out is forgotten.

    Raises:
        InvalidStreamError: it could not work so.
    """
    found = Stream.objects.select_for_update().get(pk=stream.pk)
    checked = checked_input(wanted, other_than=found)
    if checked.kind != found.kind:
        raise InvalidStreamError("the kind of a stream cannot be changed")
    before = {"address": found.address, "codes": found.codes}
    _fill(found, checked)
    if given := checked_secret(checked, secret):
        _keep(found, given)
    _due_now(found, now)
    found.save()
    found.cursors.exclude(log__in=checked.logs).delete()
    for log in set(checked.logs) - {Log(cursor.log) for cursor in found.cursors.all()}:
        _begin(found, log, from_beginning=False)
    record(
        EventCode.STREAM_UPDATE,
        actor=actor,
        now=now,
        target=found.ref,
        details={
            **_told(checked),
            "before": before,
            "secret_changed": bool(given),
        },
    )
    return found


@transaction.atomic
def renew_secret(*, stream: Stream, actor: Actor, now: datetime) -> tuple[Stream, str]:
    """Make another secret for a receiver that checks signatures; return it once.

    Raises:
        InvalidStreamError: its secret is the receiver's to make.
    """
    found = Stream.objects.select_for_update().get(pk=stream.pk)
    if found.kind not in SIGNED:
        raise InvalidStreamError("the secret of this stream is made by its receiver")
    made = random.token_urlsafe(32)
    _keep(found, made)
    _due_now(found, now)
    found.save()
    record(
        EventCode.STREAM_UPDATE,
        actor=actor,
        now=now,
        target=found.ref,
        details={"secret_changed": True},
    )
    return found, made


@transaction.atomic
def disable_stream(
    *, stream: Stream, reason: str, actor: Actor, now: datetime
) -> Stream:
    """Stop a stream where it stands; one that is stopped stays as it is."""
    stopped = Stream.objects.filter(pk=stream.pk, enabled=True).update(
        enabled=False, held_by="", held_until=None
    )
    if stopped:
        record(
            EventCode.STREAM_DISABLE,
            actor=actor,
            now=now,
            target=stream.ref,
            reason=reason,
        )
    stream.refresh_from_db()
    return stream


@transaction.atomic
def enable_stream(*, stream: Stream, actor: Actor, now: datetime) -> Stream:
    """Let a stream go on from where it stopped."""
    found = Stream.objects.select_for_update().get(pk=stream.pk)
    if not found.enabled:
        found.enabled = True
        _due_now(found, now)
        found.save()
        record(
            EventCode.STREAM_UPDATE,
            actor=actor,
            now=now,
            target=found.ref,
            details={"enabled": True},
        )
    return found


def send_test_event(*, stream: Stream, actor: Actor, now: datetime) -> str:
    """Send one made-up entry at once; return what went wrong, or nothing.

    It is no entry of the log and moves no cursor. That it was tried is an event.
    """
    failure = ""
    try:
        receiver(stream).send([_test_entry(stream, now)], now=now)
    except DeliveryError as exc:
        failure = str(exc)
    record(
        EventCode.STREAM_TEST,
        actor=actor,
        now=now,
        outcome=Outcome.FAILED if failure else Outcome.DONE,
        target=stream.ref,
        reason=failure,
    )
    return failure


def _test_entry(stream: Stream, now: datetime) -> Record:
    return Record(
        log=CONTROL,
        index=0,
        uid=f"test-{uuid.uuid4()}",
        at=now,
        received_at=now,
        code=EventCode.STREAM_TEST.value,
        outcome=Outcome.DONE.value,
        name="stream.test",
        severity=Severity.INFO,
        sentence=f"A test of {stream.name}: not an entry of the log",
        values={"target_id": stream.ref.id, "target_label": stream.name},
    )


def _keep(stream: Stream, secret: str) -> None:
    stream.kept_secret = kept(secret, owner=stream.owner) if secret else ""


def _begin(stream: Stream, log: Log, *, from_beginning: bool) -> None:
    position = 0 if from_beginning else source.head(log)
    StreamCursor.objects.create(
        stream=stream, log=log, position=position, resend_from=position
    )


def _due_now(stream: Stream, now: datetime) -> None:
    """Take a stream from whoever delivers it, and let it be tried at once."""
    stream.held_by, stream.held_until = "", None
    stream.next_attempt_at = now


def _fill(stream: Stream, wanted: StreamInput) -> None:
    stream.name, stream.kind = wanted.name, wanted.kind
    stream.address, stream.form = wanted.address, wanted.form
    stream.least_severity = wanted.least_severity
    stream.codes = " ".join(sorted(wanted.codes))
    stream.trusted_certificate = wanted.trusted_certificate


def _told(wanted: StreamInput) -> dict[str, Json]:
    """Return what an event says of a stream."""
    return {
        "kind": wanted.kind.value,
        "address": wanted.address,
        "form": wanted.form.value,
        "logs": sorted(log.value for log in wanted.logs),
        "least_severity": wanted.least_severity.value,
        "codes": sorted(wanted.codes),
        "trusted_certificate": bool(wanted.trusted_certificate),
    }
