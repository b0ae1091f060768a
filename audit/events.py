"""The closed catalogue of audit events.

A code is two letters and three digits, never re-used, never renamed. Its outcome
is a suffix: I (it happened), W (refused or denied), E (the system failed),
A (alert). The sentence is a `str.format` template over the labels of those an event
speaks of; every code has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Outcome(StrEnum):
    """The suffix of a code: how it ended."""

    DONE = "I"
    REFUSED = "W"
    FAILED = "E"
    ALERT = "A"


class EventCode(StrEnum):
    """Every event there is."""

    USER_LOGIN = "ID001"
    USER_LOGOUT = "ID002"
    USER_PROVISION = "ID006"
    USER_UPDATE = "ID007"
    USER_DEACTIVATE = "ID008"
    USER_REACTIVATE = "ID009"
    GROUP_MEMBERSHIP_CHANGE = "ID010"
    ROLE_ASSIGN = "ID011"
    DEVICE_ENROLL_REQUEST = "DV001"
    DEVICE_APPROVE = "DV002"
    DEVICE_ENROLL_COMPLETE = "DV004"
    DEVICE_ENROLL_DUPLICATE_KEY = "DV005"
    DEVICE_LIMIT_EXCEEDED = "DV006"
    DEVICE_CONFIG_ISSUED = "DV007"
    DEVICE_UPDATE = "DV009"
    DEVICE_REVOKE = "DV012"
    DEVICE_APPROVAL_WITHDRAW = "DV015"
    KEY_REGISTERED = "KY001"
    KEY_REVOKED = "KY012"
    APPLICATION_CREATE = "PL001"
    APPLICATION_UPDATE = "PL002"
    APPLICATION_DELETE = "PL003"
    GRANT_CREATE = "PL004"
    GRANT_END = "PL006"
    POLICY_COMPILE_FAILED = "PL008"
    POLICY_PUBLISHED = "PL009"
    POLICY_APPLY = "PL010"
    LABEL_CREATE = "PL020"
    LABEL_DELETE = "PL021"
    LABEL_APPLY = "PL022"
    LABEL_GRANT_CREATE = "PL023"
    LABEL_GRANT_END = "PL024"
    BRAKE_CONFIRM = "PL025"
    ACCESS_REQUEST_CREATE = "RQ001"
    ACCESS_REQUEST_REVIEW = "RQ002"
    ACCESS_REQUEST_EXPIRE = "RQ003"
    ACCESS_REQUEST_CANCEL = "RQ004"
    LOCK_CREATE = "RQ009"
    LOCK_DELETE = "RQ010"
    GATEWAY_CREATE = "GW009"
    GATEWAY_TOKEN_ISSUED = "GW010"  # noqa: S105 -- an event code
    GATEWAY_RETIRE = "GW011"
    GATEWAY_UPDATE = "GW012"
    GATEWAY_REQUEST_REFUSED = "GW013"
    GATEWAY_NAMES = "GW014"
    GATEWAY_FLOW_TABLE = "GW015"
    GATEWAY_CLOCK = "GW016"
    GATEWAY_QUARANTINE = "GW020"
    GATEWAY_RELEASE = "GW021"
    EVIDENCE_SPOOL = "GW022"
    GATEWAY_AHEAD = "GW030"
    GATEWAY_RECOVERY_START = "GW031"
    GATEWAY_REVOCATIONS_IMPORT = "GW032"
    GATEWAY_EPOCH_RAISE = "GW033"
    GATEWAY_RECOVERED = "GW034"
    GATEWAY_KEY_OFFERED = "GW023"
    GATEWAY_KEY_ROTATED = "GW024"
    AGENT_ENROLL = "GW001"
    AGENT_LOST = "GW003"
    GATEWAY_APPLY = "GW004"
    GATEWAY_APPLY_FAILED = "GW005"
    GATEWAY_DRIFT = "GW006"
    GATEWAY_RESTART = "GW007"
    AGENT_LOG_GAP = "GW008"
    FLOW_UNATTRIBUTED = "FL004"
    TUNNEL_ENDPOINT_SUSPICIOUS = "SE004"
    AUDIT_QUERY = "AU001"
    AUDIT_EXPORT = "AU002"
    API_TOKEN_CREATE = "AU007"  # noqa: S105 -- an event code
    API_TOKEN_REVOKE = "AU008"  # noqa: S105 -- an event code
    ALARM_RAISE = "AL001"
    ALARM_ACKNOWLEDGE = "AL002"
    ALARM_ASSIGN = "AL003"
    ALARM_CLOSE = "AL004"
    ALARM_CHANNEL_CREATE = "AL005"
    ALARM_CHANNEL_UPDATE = "AL006"
    ALARM_CHANNEL_DELETE = "AL007"
    ALARM_CHANNEL_TEST = "AL008"
    KEY_SHARED_RESOLVED = "KY010"
    WEBHOOK_DELIVER = "AU009"
    REFUSALS_SUPPRESSED = "AU010"
    AUDIT_EXPORT_COMPLETE = "AU013"
    SAVED_SEARCH_CREATE = "AU014"
    SAVED_SEARCH_DELETE = "AU015"
    POLICY_QUERY = "AU011"
    STREAM_CREATE = "AU030"
    STREAM_UPDATE = "AU031"
    STREAM_DISABLE = "AU032"
    STREAM_DELIVERY = "AU033"
    STREAM_TEST = "AU034"
    EVIDENCE_MAKE = "AU035"
    REVOCATION_REQUEST = "RV001"
    REVOCATION_ENFORCED = "RV002"
    REVOCATION_MANY = "RV003"
    CLIENT_AUTHORIZE = "ID014"
    ACCESS_REFUSED = "ID015"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """The name (`noun.verb`) and the sentence of a code."""

    name: str
    sentence: str


CATALOGUE: Final = {
    code: EventType(name=name, sentence=sentence)
    for code, name, sentence in (
        (EventCode.USER_LOGIN, "user.login", "{person_label} signed in"),
        (EventCode.USER_LOGOUT, "user.logout", "{person_label} signed out"),
        (EventCode.USER_PROVISION, "user.provision", "{person_label} was added"),
        (EventCode.USER_UPDATE, "user.update", "{person_label} was changed"),
        (EventCode.USER_DEACTIVATE, "user.deactivate", "{person_label} was disabled"),
        (EventCode.USER_REACTIVATE, "user.reactivate", "{person_label} was enabled"),
        (
            EventCode.GROUP_MEMBERSHIP_CHANGE,
            "group.membership.change",
            "The groups of {person_label} changed",
        ),
        (EventCode.ROLE_ASSIGN, "role.assign", "{person_label} took another role"),
        (
            EventCode.CLIENT_AUTHORIZE,
            "client.authorize",
            "{person_label} let a command line act for them",
        ),
        (
            EventCode.ACCESS_REFUSED,
            "access.refuse",
            "{actor_label} was refused {target_label}",
        ),
        (
            EventCode.DEVICE_ENROLL_REQUEST,
            "device.enroll.request",
            "{person_label} asked to enrol a device",
        ),
        (
            EventCode.DEVICE_APPROVE,
            "device.approve",
            "{actor_label} approved {device_label}",
        ),
        (
            EventCode.DEVICE_ENROLL_COMPLETE,
            "device.enroll.complete",
            "{person_label} enrolled {device_label}",
        ),
        (
            EventCode.DEVICE_ENROLL_DUPLICATE_KEY,
            "device.enroll.duplicate_key",
            "{person_label} offered a key that was seen before",
        ),
        (
            EventCode.DEVICE_LIMIT_EXCEEDED,
            "device.limit.exceeded",
            "{person_label} has as many devices as are allowed",
        ),
        (
            EventCode.DEVICE_CONFIG_ISSUED,
            "device.config.issued",
            "The configuration of {device_label} was issued",
        ),
        (EventCode.DEVICE_UPDATE, "device.update", "{device_label} was changed"),
        (EventCode.DEVICE_REVOKE, "device.revoke", "{device_label} was revoked"),
        (
            EventCode.DEVICE_APPROVAL_WITHDRAW,
            "device.approval.withdraw",
            "{actor_label} withdrew the approval of {device_label}",
        ),
        (
            EventCode.KEY_REGISTERED,
            "key.registered",
            "A key of {device_label} entered the ledger",
        ),
        (EventCode.KEY_REVOKED, "key.revoked", "A key of {device_label} was revoked"),
        (
            EventCode.APPLICATION_CREATE,
            "app.create",
            "{application_label} was described",
        ),
        (EventCode.APPLICATION_UPDATE, "app.update", "{application_label} changed"),
        (EventCode.APPLICATION_DELETE, "app.delete", "{application_label} was removed"),
        (EventCode.GRANT_CREATE, "grant.create", "{target_label} was granted"),
        (EventCode.GRANT_END, "grant.end", "{target_label} ended"),
        (EventCode.LABEL_CREATE, "label.create", "{target_label} was made"),
        (EventCode.LABEL_DELETE, "label.delete", "{target_label} was removed"),
        (
            EventCode.LABEL_APPLY,
            "label.apply",
            "The labels of {application_label} changed",
        ),
        (
            EventCode.LABEL_GRANT_CREATE,
            "label.grant.create",
            "{target_label} was granted",
        ),
        (EventCode.LABEL_GRANT_END, "label.grant.end", "{target_label} ended"),
        (
            EventCode.BRAKE_CONFIRM,
            "policy.brake.confirm",
            "{actor_label} confirmed a change that takes something from many people",
        ),
        (
            EventCode.ACCESS_REQUEST_CREATE,
            "access.request.create",
            "{person_label} asked for {application_label}",
        ),
        (
            EventCode.ACCESS_REQUEST_REVIEW,
            "access.request.review",
            "{actor_label} answered the request {target_label}",
        ),
        (
            EventCode.ACCESS_REQUEST_EXPIRE,
            "access.request.expire",
            "The request {target_label} ran out of time unanswered",
        ),
        (
            EventCode.ACCESS_REQUEST_CANCEL,
            "access.request.cancel",
            "{actor_label} took back the request {target_label}",
        ),
        (EventCode.LOCK_CREATE, "lock.create", "{actor_label} locked {target_label}"),
        (
            EventCode.LOCK_DELETE,
            "lock.delete",
            "{actor_label} lifted the lock on {target_label}",
        ),
        (
            EventCode.POLICY_COMPILE_FAILED,
            "policy.compile_failed",
            "The policy of {gateway_label} could not be compiled",
        ),
        (
            EventCode.POLICY_PUBLISHED,
            "policy.published",
            "A snapshot of {gateway_label} was published",
        ),
        (EventCode.POLICY_APPLY, "policy.apply", "A policy file was applied"),
        (EventCode.AGENT_ENROLL, "agent.enroll", "{gateway_label} enrolled"),
        (EventCode.AGENT_LOST, "agent.lost", "{gateway_label} went silent"),
        (
            EventCode.GATEWAY_APPLY,
            "gateway.apply",
            "{gateway_label} enforces a snapshot",
        ),
        (
            EventCode.GATEWAY_APPLY_FAILED,
            "gateway.apply_failed",
            "{gateway_label} could not enforce a snapshot",
        ),
        (
            EventCode.GATEWAY_DRIFT,
            "gateway.drift",
            "The kernel of {gateway_label} held something else",
        ),
        (EventCode.GATEWAY_RESTART, "gateway.restart", "{gateway_label} restarted"),
        (
            EventCode.AGENT_LOG_GAP,
            "agent.log_gap",
            "{gateway_label} lost connection events",
        ),
        (EventCode.GATEWAY_CREATE, "gateway.create", "{gateway_label} was described"),
        (
            EventCode.GATEWAY_TOKEN_ISSUED,
            "gateway.token.issue",
            "An enrolment token for {gateway_label} was issued",
        ),
        (EventCode.GATEWAY_RETIRE, "gateway.retire", "{gateway_label} was retired"),
        (EventCode.GATEWAY_UPDATE, "gateway.update", "{gateway_label} was changed"),
        (
            EventCode.GATEWAY_NAMES,
            "gateway.names",
            "Host names stand for other addresses at {gateway_label}",
        ),
        (
            EventCode.GATEWAY_FLOW_TABLE,
            "gateway.flow_table.crowd",
            "The table of flows of {gateway_label} became crowded, or is so no longer",
        ),
        (
            EventCode.GATEWAY_CLOCK,
            "gateway.clock",
            "The clock of {gateway_label} is not ours",
        ),
        (
            EventCode.GATEWAY_QUARANTINE,
            "gateway.quarantine",
            "Two hold the key of {gateway_label}: it is told nothing any more",
        ),
        (
            EventCode.GATEWAY_RELEASE,
            "gateway.release",
            "{actor_label} released {gateway_label} from quarantine",
        ),
        (
            EventCode.EVIDENCE_SPOOL,
            "agent.spool.begin",
            "{gateway_label} began another spool of connection events",
        ),
        (
            EventCode.GATEWAY_AHEAD,
            "gateway.ahead",
            "{gateway_label} holds what this portal never issued",
        ),
        (
            EventCode.GATEWAY_RECOVERY_START,
            "gateway.recovery.start",
            "{actor_label} began to recover {gateway_label}, which is ahead",
        ),
        (
            EventCode.GATEWAY_REVOCATIONS_IMPORT,
            "gateway.revocations.import",
            "What this portal had lost was taken back from {gateway_label}",
        ),
        (
            EventCode.GATEWAY_EPOCH_RAISE,
            "gateway.epoch.raise",
            "{gateway_label} was given a higher epoch",
        ),
        (
            EventCode.GATEWAY_RECOVERED,
            "gateway.recovered",
            "{gateway_label} is no longer ahead of this portal",
        ),
        (
            EventCode.GATEWAY_KEY_OFFERED,
            "gateway.key.offer",
            "{gateway_label} offered a new key for its requests",
        ),
        (
            EventCode.GATEWAY_KEY_ROTATED,
            "gateway.key.rotate",
            "{gateway_label} signs its requests with a new key",
        ),
        (
            EventCode.GATEWAY_REQUEST_REFUSED,
            "gateway.request.refuse",
            "A request in the name of a gateway was refused",
        ),
        (
            EventCode.TUNNEL_ENDPOINT_SUSPICIOUS,
            "tunnel.endpoint.suspicious",
            "{device_label} comes from changing places",
        ),
        (
            EventCode.FLOW_UNATTRIBUTED,
            "flow.unattributed",
            "{gateway_label} saw a flow that belongs to nobody",
        ),
        (EventCode.AUDIT_QUERY, "audit.query", "{actor_label} read the log"),
        (
            EventCode.AUDIT_EXPORT,
            "audit.export",
            "{actor_label} took a copy of the log",
        ),
        (
            EventCode.AUDIT_EXPORT_COMPLETE,
            "audit.export.complete",
            "{actor_label} has a whole copy of what they asked of the log",
        ),
        (
            EventCode.SAVED_SEARCH_CREATE,
            "audit.search.save",
            "{actor_label} saved a search of the log: {target_label}",
        ),
        (
            EventCode.SAVED_SEARCH_DELETE,
            "audit.search.delete",
            "{actor_label} removed a saved search of the log: {target_label}",
        ),
        (
            EventCode.API_TOKEN_CREATE,
            "api.token.create",
            "{actor_label} made a credential for programs: {target_label}",
        ),
        (
            EventCode.API_TOKEN_REVOKE,
            "api.token.revoke",
            "{actor_label} revoked a credential for programs: {target_label}",
        ),
        (EventCode.ALARM_RAISE, "alarm.raise", "{target_label}"),
        (
            EventCode.ALARM_ACKNOWLEDGE,
            "alarm.acknowledge",
            "{actor_label} has seen the alarm: {target_label}",
        ),
        (
            EventCode.ALARM_ASSIGN,
            "alarm.assign",
            "{person_label} is to look into the alarm: {target_label}",
        ),
        (
            EventCode.ALARM_CLOSE,
            "alarm.close",
            "{actor_label} judged the alarm: {target_label}",
        ),
        (
            EventCode.ALARM_CHANNEL_CREATE,
            "alarm.channel.create",
            "{actor_label} let alarms be sent to {target_label}",
        ),
        (
            EventCode.ALARM_CHANNEL_UPDATE,
            "alarm.channel.update",
            "{actor_label} changed where alarms are sent: {target_label}",
        ),
        (
            EventCode.ALARM_CHANNEL_DELETE,
            "alarm.channel.delete",
            "{actor_label} ended the sending of alarms to {target_label}",
        ),
        (
            EventCode.ALARM_CHANNEL_TEST,
            "alarm.channel.test",
            "{actor_label} sent a test alarm to {target_label}",
        ),
        (
            EventCode.KEY_SHARED_RESOLVED,
            "key.shared_resolved",
            "{actor_label} judged whether the key of {device_label} is shared",
        ),
        (
            EventCode.WEBHOOK_DELIVER,
            "webhook.deliver",
            "A notification was sent to {target_label}",
        ),
        (
            EventCode.REFUSALS_SUPPRESSED,
            "audit.refusals.suppress",
            "So many were refused that the rest was only counted",
        ),
        (
            EventCode.POLICY_QUERY,
            "policy.query",
            "{actor_label} asked who may reach what",
        ),
        (
            EventCode.STREAM_CREATE,
            "stream.create",
            "{actor_label} let the log flow to {target_label}",
        ),
        (
            EventCode.STREAM_UPDATE,
            "stream.update",
            "{actor_label} changed the stream {target_label}",
        ),
        (
            EventCode.STREAM_DISABLE,
            "stream.disable",
            "{actor_label} stopped the stream {target_label}",
        ),
        (
            EventCode.STREAM_DELIVERY,
            "stream.deliver",
            "The log flows to {target_label}",
        ),
        (
            EventCode.STREAM_TEST,
            "stream.test",
            "{actor_label} sent a test event to {target_label}",
        ),
        (
            EventCode.EVIDENCE_MAKE,
            "evidence.make",
            "{actor_label} made the evidence pack of a period",
        ),
        (
            EventCode.REVOCATION_REQUEST,
            "revocation.request",
            "{person_label} was revoked everywhere",
        ),
        (
            EventCode.REVOCATION_ENFORCED,
            "revocation.enforced",
            "{gateway_label} enforces the revocation of {person_label}",
        ),
        (
            EventCode.REVOCATION_MANY,
            "revocation.request.many",
            "{actor_label} revoked many people everywhere at once",
        ),
    )
}

# What a sentence may speak of, and what it says when the event names nobody.
SUBJECTS: Final = {
    "actor_label": "somebody",
    "person_label": "somebody",
    "device_label": "a device",
    "gateway_label": "a gateway",
    "application_label": "an application",
    "target_label": "something",
}
OPENINGS: Final = {
    Outcome.DONE: "",
    Outcome.REFUSED: "Refused: ",
    Outcome.FAILED: "Failed: ",
    Outcome.ALERT: "Alert: ",
}


def sentence(code: EventCode, outcome: Outcome, labels: Mapping[str, Any]) -> str:
    """Return an event as a sentence; a label that is missing becomes a pronoun.

    Labels are only ever values here: braces in them are shown, never interpreted.
    """
    named = {name: labels.get(name) or nobody for name, nobody in SUBJECTS.items()}
    text = OPENINGS[outcome] + CATALOGUE[code].sentence.format(**named)
    if text.startswith(tuple(SUBJECTS.values())):
        return text[0].upper() + text[1:]
    return text
