"""Devices, their keys, and where they come from (DV, KY, SE)."""

from __future__ import annotations

from typing import Final

from audit.catalogue.codes import EventCode
from audit.catalogue.kinds import (
    MOMENT,
    TEXT,
    TEXTS,
    WHOLE,
    EventType,
    Severity,
    kind,
    personal,
)

DEVICES: Final[tuple[EventType, ...]] = (
    kind(
        EventCode.DEVICE_ENROLL_REQUEST,
        "device.enroll.request",
        "{person_label} asked to enrol a device",
        means="An enrolment was refused; what was enrolled is DV004.",
        remedy="`error` names the rule. Repeated failed proofs of possession: ask.",
        refused=Severity.NOTICE,
        fields={"error": TEXT, "fingerprint": TEXT},
    ),
    kind(
        EventCode.DEVICE_APPROVE,
        "device.approve",
        "{actor_label} approved {device_label}",
        means="An administrator vouches for a machine.",
        done=Severity.NOTICE,
        refused=Severity.NOTICE,
    ),
    kind(
        EventCode.DEVICE_ENROLL_COMPLETE,
        "device.enroll.complete",
        "{person_label} enrolled {device_label}",
        means="A device proved that it holds its key and was given addresses.",
        remedy="The person does not know the device: revoke them.",
        done=Severity.NOTICE,
        fields={"platform": TEXT, "addresses": personal(TEXTS), "sign_in": TEXT},
    ),
    kind(
        EventCode.DEVICE_ENROLL_DUPLICATE_KEY,
        "device.enroll.duplicate_key",
        "{person_label} offered a key that was seen before",
        means="A key is used once over all time; this one belonged to another device.",
        remedy="Two people with one configuration file: find out who copied it.",
        refused=Severity.WARNING,
        fields={"error": TEXT, "fingerprint": TEXT},
    ),
    kind(
        EventCode.DEVICE_LIMIT_EXCEEDED,
        "device.limit.exceeded",
        "{person_label} has as many devices as are allowed",
        means="An enrolment was refused because of the number of devices.",
        refused=Severity.NOTICE,
        fields={"error": TEXT, "fingerprint": TEXT},
    ),
    kind(
        EventCode.DEVICE_CONFIG_ISSUED,
        "device.config.issued",
        "The configuration of {device_label} was issued",
        means="The owner fetched the addresses and gateways of a device.",
        done=Severity.INFO,
    ),
    kind(
        EventCode.DEVICE_UPDATE,
        "device.update",
        "{device_label} was changed",
        means="A device has another name.",
        done=Severity.INFO,
        refused=Severity.INFO,
        fields={"name_before": personal(TEXT)},
    ),
    kind(
        EventCode.DEVICE_REVOKE,
        "device.revoke",
        "{device_label} was revoked",
        means="A device may reach nothing any more, and its key is spent.",
        remedy="Gateways confirm with GW004 or RV002.",
        done=Severity.NOTICE,
    ),
    kind(
        EventCode.DEVICE_FIRST_HANDSHAKE,
        "device.first_handshake",
        "{device_label} reached {gateway_label} for the first time",
        means="The key was used at this gateway, and nowhere in the log before.",
        done=Severity.INFO,
        fields={"at": MOMENT, "endpoint": personal(TEXT)},
    ),
    kind(
        EventCode.DEVICE_APPROVAL_WITHDRAW,
        "device.approval.withdraw",
        "{actor_label} withdrew the approval of {device_label}",
        means="Grants that demand an approved device ended for this one.",
        done=Severity.NOTICE,
    ),
    kind(
        EventCode.KEY_REGISTERED,
        "key.registered",
        "A key of {device_label} entered the ledger",
        means="The public key will belong to this device for ever.",
        done=Severity.INFO,
        fields={"fingerprint": TEXT},
    ),
    kind(
        EventCode.KEY_REVOKED,
        "key.revoked",
        "A key of {device_label} was revoked",
        means="Nobody may use this key again, this device included.",
        done=Severity.NOTICE,
        fields={"fingerprint": TEXT},
    ),
    kind(
        EventCode.TUNNEL_ENDPOINT_SUSPICIOUS,
        "tunnel.endpoint.suspicious",
        "{device_label} comes from changing places",
        means="The outer address of one key jumps to and fro within a minute.",
        remedy="Ask the owner where the device is; two places at once: revoke it.",
        alert=Severity.ALERT,
        fields={"rule": TEXT, "changes": WHOLE, "addresses": personal(TEXTS)},
    ),
)
