"""Streams of the log to receivers (AU030 to AU034)."""

from __future__ import annotations

from typing import Final

from audit.catalogue.codes import EventCode
from audit.catalogue.kinds import (
    FLAG,
    TABLE,
    TEXT,
    TEXTS,
    WHOLE,
    EventType,
    Severity,
    kind,
)

STREAM: Final = {
    "kind": TEXT,
    "address": TEXT,
    "form": TEXT,
    "logs": TEXTS,
    "least_severity": TEXT,
    "codes": TEXTS,
    "trusted_certificate": FLAG,
}

STREAMS: Final[tuple[EventType, ...]] = (
    kind(
        EventCode.STREAM_CREATE,
        "stream.create",
        "{actor_label} let the log flow to {target_label}",
        means="What the log says leaves the portal for another place as it grows.",
        remedy="Nobody knows the receiver: stop the stream.",
        done=Severity.WARNING,
        refused=Severity.INFO,
        fields={**STREAM, "from_beginning": FLAG},
    ),
    kind(
        EventCode.STREAM_UPDATE,
        "stream.update",
        "{actor_label} changed the stream {target_label}",
        means="The log flows elsewhere, less of it flows, or another secret signs it.",
        remedy="Compare `before` with what the stream is now.",
        done=Severity.WARNING,
        refused=Severity.INFO,
        fields={
            **STREAM,
            "before": TABLE,
            "secret_changed": FLAG,
            "enabled": FLAG,
        },
    ),
    kind(
        EventCode.STREAM_DISABLE,
        "stream.disable",
        "{actor_label} stopped the stream {target_label}",
        means="The receiver hears nothing more; the log itself goes on.",
        remedy="Nobody announced it: let it go on, nothing is lost meanwhile.",
        done=Severity.WARNING,
        refused=Severity.INFO,
    ),
    kind(
        EventCode.STREAM_DELIVERY,
        "stream.deliver",
        "The log flows to {target_label}",
        means="A receiver took nothing for a while, or takes it again.",
        remedy="Look at the receiver; the stream tries again by itself.",
        done=Severity.NOTICE,
        failed=Severity.WARNING,
        fields={"failures": WHOLE},
    ),
    kind(
        EventCode.STREAM_TEST,
        "stream.test",
        "{actor_label} sent a test event to {target_label}",
        means="Somebody tried whether a receiver takes an entry.",
        done=Severity.INFO,
        failed=Severity.NOTICE,
    ),
)
