"""Streams as they are on a bad day: one delivers, one fails, one is stopped."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from audit.actor import SYSTEM
from audit.models import Log
from audit.streams import services, source
from audit.streams.checks import StreamInput
from audit.streams.models import Stream, StreamForm, StreamKind

if TYPE_CHECKING:
    from datetime import datetime


def make_streams(now: datetime) -> list[Stream]:
    """Make the three, the one that fails last."""
    began = now - timedelta(hours=3)
    made = [
        services.create_stream(
            wanted=StreamInput(
                name=name,
                kind=kind,
                address=address,
                form=form,
                logs=(Log.CONTROL, Log.CONNECTIONS),
            ),
            secret="token" if kind == StreamKind.HEC else "",
            from_beginning=True,
            actor=SYSTEM,
            now=began,
        )[0]
        for name, kind, address, form in (
            (
                "Splunk of the security team",
                StreamKind.HEC,
                "https://splunk.security.acme.example.com:8088",
                StreamForm.OCSF,
            ),
            (
                "Archive",
                StreamKind.LINES,
                "https://archive.acme.example.com/ingest/peerage",
                StreamForm.NATIVE,
            ),
            (
                "rsyslog in the second data centre",
                StreamKind.SYSLOG,
                "log-2.lisbon.acme.example.com:6514",
                StreamForm.SENTENCE,
            ),
        )
    ]
    delivering, stopped, failing = made
    Stream.objects.filter(pk=delivering.pk).update(last_success_at=now)
    for cursor in delivering.cursors.all():
        cursor.position = source.head(Log(cursor.log))
        cursor.delivered = cursor.position - 1
        cursor.save()
    services.disable_stream(
        stream=stopped, reason="the archive moves", actor=SYSTEM, now=now
    )
    Stream.objects.filter(pk=failing.pk).update(
        failures=7,
        next_attempt_at=now + timedelta(minutes=5),
        last_success_at=now - timedelta(hours=2),
        last_error_at=now,
        last_error="the receiver's certificate is not accepted: certificate has"
        " expired",
    )
    return made
