"""Alarms, and who is told of them (AL, KY010, AU009)."""

from __future__ import annotations

from typing import Final

from audit.catalogue.codes import EventCode
from audit.catalogue.kinds import (
    FLAG,
    TABLE,
    TEXT,
    WHOLE,
    EventType,
    Severity,
    kind,
    personal,
)

# The key of an alarm says what it is about, a person or an address among others.
ALARM: Final = {"rule": TEXT, "key": personal(TEXT)}
VERDICT: Final = {**ALARM, "verdict": TEXT, "before": TEXT}
CHANNEL: Final = {
    "kind": TEXT,
    "address": personal(TEXT),
    "least_severity": TEXT,
    "rules": TEXT,
    "enabled": FLAG,
}

ALARMS: Final[tuple[EventType, ...]] = (
    kind(
        EventCode.ALARM_RAISE,
        "alarm.raise",
        "{target_label}",
        means="A rule found in the log what somebody should look at.",
        remedy="Acknowledge the alarm and follow what its rule says.",
        alert=Severity.ALERT,
        fields=ALARM,
    ),
    kind(
        EventCode.ALARM_ACKNOWLEDGE,
        "alarm.acknowledge",
        "{actor_label} has seen the alarm: {target_label}",
        means="Somebody knows of the alarm.",
        done=Severity.INFO,
        fields=ALARM,
    ),
    kind(
        EventCode.ALARM_ASSIGN,
        "alarm.assign",
        "{person_label} is to look into the alarm: {target_label}",
        means="The alarm is somebody's, or nobody's any more.",
        done=Severity.INFO,
        refused=Severity.INFO,
        fields={"rule": TEXT, "before": TEXT, "after": TEXT},
    ),
    kind(
        EventCode.ALARM_CLOSE,
        "alarm.close",
        "{actor_label} judged the alarm: {target_label}",
        means="Somebody said what the alarm was; the reason is their note.",
        remedy="A verdict that was changed has the one before it in `before`.",
        done=Severity.NOTICE,
        refused=Severity.INFO,
        fields=VERDICT,
    ),
    kind(
        EventCode.KEY_SHARED_RESOLVED,
        "key.shared_resolved",
        "{actor_label} judged whether the key of {device_label} is shared",
        means="Somebody said whether one key is used in two places.",
        done=Severity.NOTICE,
        fields=VERDICT,
    ),
    kind(
        EventCode.ALARM_CHANNEL_CREATE,
        "alarm.channel.create",
        "{actor_label} let alarms be sent to {target_label}",
        means="Alarms leave the portal for one more place.",
        done=Severity.NOTICE,
        refused=Severity.INFO,
        fields=CHANNEL,
    ),
    kind(
        EventCode.ALARM_CHANNEL_UPDATE,
        "alarm.channel.update",
        "{actor_label} changed where alarms are sent: {target_label}",
        means="Alarms go elsewhere, fewer of them go, or another secret signs them.",
        remedy="An alarm that was muted and another address both stand in `after`.",
        done=Severity.WARNING,
        refused=Severity.INFO,
        fields={
            "before": personal(TABLE),
            "after": personal(TABLE),
            "url_changed": FLAG,
            "secret_changed": FLAG,
        },
    ),
    kind(
        EventCode.ALARM_CHANNEL_DELETE,
        "alarm.channel.delete",
        "{actor_label} ended the sending of alarms to {target_label}",
        means="Nobody is told by this way any more.",
        remedy="Is there another channel for what this one carried?",
        done=Severity.WARNING,
        refused=Severity.INFO,
        fields=CHANNEL,
    ),
    kind(
        EventCode.ALARM_CHANNEL_TEST,
        "alarm.channel.test",
        "{actor_label} sent a test alarm to {target_label}",
        means="Somebody tried whether alarms arrive.",
        done=Severity.INFO,
    ),
    kind(
        EventCode.WEBHOOK_DELIVER,
        "webhook.deliver",
        "A notification was sent to {target_label}",
        means="An alarm arrived at a channel, or was given up after many attempts.",
        remedy="Failed: nobody was told of that alarm. Mend the channel, and test it.",
        done=Severity.INFO,
        failed=Severity.ALERT,
        fields={
            "alarm": TEXT,
            "cause": TEXT,
            "kind": TEXT,
            "attempts": WHOLE,
            "delivery": TEXT,
        },
    ),
)
