"""Entries as OCSF events (Open Cybersecurity Schema Framework, schema.ocsf.io). Pure.

Classes: 4001 Network Activity for connections, 3002 Authentication for signing in and
out, 3001 Account Change for people, 6003 API Activity for everything else that
somebody did. What a class requires is always there (checked against the published
schema 1.3.0, and by a test); what OCSF has no word for stands in `unmapped` under our
own names, so nothing is lost on the way.

Traffic is counted from the device: `bytes_out` went to the application.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from audit.formats.records import (
    CONNECTIONS,
    FAILED,
    PRODUCT,
    Severity,
    milliseconds,
)
from audit.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from audit.formats.records import Record

VERSION: Final = "1.3.0"
ACCOUNT_CHANGE: Final = 3001
AUTHENTICATION: Final = 3002
NETWORK_ACTIVITY: Final = 4001
API_ACTIVITY: Final = 6003
CLASS_NAMES: Final = {
    ACCOUNT_CHANGE: "Account Change",
    AUTHENTICATION: "Authentication",
    NETWORK_ACTIVITY: "Network Activity",
    API_ACTIVITY: "API Activity",
}
CATEGORY_NAMES: Final = {
    3: "Identity & Access Management",
    4: "Network Activity",
    6: "Application Activity",
}
OTHER: Final = 99
SEVERITIES: Final = {
    Severity.INFO: (1, "Informational"),
    Severity.NOTICE: (2, "Low"),
    Severity.WARNING: (3, "Medium"),
    Severity.ALERT: (4, "High"),
}
SUCCESS: Final = (1, "Success")
FAILURE: Final = (2, "Failure")

# Codes with a class of their own; everything else is API activity.
PEOPLE: Final = {
    "ID001": (AUTHENTICATION, 1),
    "ID002": (AUTHENTICATION, 2),
    "ID013": (AUTHENTICATION, 1),
    "ID006": (ACCOUNT_CHANGE, 1),
    "ID007": (ACCOUNT_CHANGE, OTHER),
    "ID008": (ACCOUNT_CHANGE, 5),
    "ID009": (ACCOUNT_CHANGE, 2),
    "ID010": (ACCOUNT_CHANGE, OTHER),
    "ID011": (ACCOUNT_CHANGE, 7),
    "ID012": (ACCOUNT_CHANGE, 8),
}
ACTIVITY_NAMES: Final = {
    (AUTHENTICATION, 1): "Logon",
    (AUTHENTICATION, 2): "Logoff",
    (ACCOUNT_CHANGE, 1): "Create",
    (ACCOUNT_CHANGE, 2): "Enable",
    (ACCOUNT_CHANGE, 5): "Disable",
    (ACCOUNT_CHANGE, 7): "Attach Policy",
    (ACCOUNT_CHANGE, 8): "Detach Policy",
    (NETWORK_ACTIVITY, 1): "Open",
    (NETWORK_ACTIVITY, 2): "Close",
    (NETWORK_ACTIVITY, 3): "Reset",
    (NETWORK_ACTIVITY, 5): "Refuse",
    (API_ACTIVITY, 1): "Create",
    (API_ACTIVITY, 2): "Read",
    (API_ACTIVITY, 3): "Update",
    (API_ACTIVITY, 4): "Delete",
}
# The last word of an event's name (`device.revoke`) says what was done.
VERBS: Final = {
    **dict.fromkeys(
        ("create", "enroll", "request", "registered", "issue", "issued", "start"), 1
    ),
    **dict.fromkeys(("query", "export"), 2),
    **dict.fromkeys(
        ("delete", "end", "revoke", "revoked", "retire", "withdraw", "cancel"), 4
    ),
}
UPDATE: Final = 3
PARTIES: Final = ("person", "device", "gateway", "application", "target")
ADMINISTRATORS: Final = ("administrator", "owner")
ALLOWED: Final = {
    "action_id": 1,
    "action": "Allowed",
    "disposition_id": 1,
    "disposition": "Allowed",
}
DENIED: Final = {
    "action_id": 2,
    "action": "Denied",
    "disposition_id": 6,
    "disposition": "Dropped",
}
PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}


def ocsf(record: Record, *, deployment: str) -> dict[str, Any]:
    """Return an entry as an OCSF event."""
    if record.log == CONNECTIONS:
        return _network_activity(record, deployment)
    verb = record.name.rpartition(".")[2]
    class_uid, activity = PEOPLE.get(
        record.code, (API_ACTIVITY, VERBS.get(verb, UPDATE))
    )
    event = _base(record, class_uid, activity, deployment)
    event["actor"] = _actor(record)
    event["src_endpoint"] = _source(record)
    unmapped = {
        "outcome": record.outcome,
        "details": record.values.get("details"),
        "actor_kind": record.text("actor_kind"),
        "actor_role": record.text("actor_role"),
    }
    if class_uid == API_ACTIVITY:
        event["api"] = {
            "operation": record.name,
            "service": {"name": PRODUCT},
            "request": {"uid": record.text("request_id") or record.uid},
        }
        event["resources"] = [*_resources(record)]
    else:
        event["user"] = _person(record)
        unmapped |= {f"{name}_id": record.text(f"{name}_id") for name in PARTIES[1:]}
        unmapped |= {
            f"{name}_label": record.text(f"{name}_label") for name in PARTIES[1:]
        }
    if class_uid == AUTHENTICATION:
        event["service"] = {"name": PRODUCT, "uid": deployment}
        event["is_remote"] = True
    event["unmapped"] = _present(unmapped)
    return _present(event)


def _network_activity(record: Record, deployment: str) -> dict[str, Any]:
    values = record.values
    activity = {"open": 1, "close": 2, "deny": 5}.get(str(values.get("kind")), OTHER)
    if activity == 2 and record.text("reason") == "revoked":  # noqa: PLR2004 -- Close
        activity = 3
    event = _base(record, NETWORK_ACTIVITY, activity, deployment)
    event["metadata"]["profiles"] = ["host", "network_proxy", "security_control"]
    event["metadata"]["log_provider"] = record.text("gateway_label")
    source = record.text("source")
    event |= DENIED if values.get("kind") == "deny" else ALLOWED
    event |= {
        "start_time": _moment(values.get("started_at")),
        "end_time": _moment(values.get("ended_at")),
        "app_name": record.text("application_label"),
        "actor": {"user": _person(record)},
        "device": {
            "uid": record.text("device_id"),
            "name": record.text("device_label"),
            "ip": source,
            "type_id": 0,
            "type": "Unknown",
        },
        "src_endpoint": {
            "ip": source,
            "port": values.get("source_port"),
            "uid": record.text("device_id"),
            "name": record.text("device_label"),
        },
        "dst_endpoint": {
            "ip": record.text("destination"),
            "port": values.get("destination_port"),
            "svc_name": record.text("application_label"),
        },
        "proxy_endpoint": {
            "uid": record.text("gateway_id"),
            "name": record.text("gateway_label"),
        },
        "connection_info": _connection_info(record, source),
        "traffic": _traffic(values),
        "firewall_rule": {
            "uid": record.text("grant_id"),
            "name": record.text("grant_label"),
        },
        "unmapped": {
            "outcome": record.outcome,
            "kind": record.text("kind"),
            "sequence": record.text("sequence"),
            "application_id": record.text("application_id"),
            "key_fingerprint": record.text("key_fingerprint"),
            "generation": record.text("generation"),
        },
    }
    return _present(event)


def _base(
    record: Record, class_uid: int, activity: int, deployment: str
) -> dict[str, Any]:
    category = class_uid // 1000
    severity_id, severity = SEVERITIES[record.severity]
    failed = record.outcome in {"W", FAILED}
    status_id, status = FAILURE if failed else SUCCESS
    return {
        "activity_id": activity,
        "activity_name": ACTIVITY_NAMES.get((class_uid, activity), record.name),
        "category_uid": category,
        "category_name": CATEGORY_NAMES[category],
        "class_uid": class_uid,
        "class_name": CLASS_NAMES[class_uid],
        "type_uid": class_uid * 100 + activity,
        "time": milliseconds(record.at),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "status_detail": record.text("reason"),
        "message": visible(record.sentence),
        "metadata": {
            "version": VERSION,
            "product": {"name": PRODUCT, "vendor_name": PRODUCT, "uid": deployment},
            "uid": record.uid,
            "sequence": record.index,
            "event_code": f"{record.code}{record.outcome}",
            "log_name": record.log,
            "log_provider": deployment,
            "logged_time": milliseconds(record.received_at),
            "correlation_uid": record.text("request_id"),
        },
    }


def _actor(record: Record) -> dict[str, Any]:
    """Return who acted: a person or a credential as a user, the rest as a program."""
    kind = record.text("actor_kind")
    identity, label = record.text("actor_id"), record.text("actor_label")
    if kind in {"system", "gateway"}:
        return {"app_name": label or PRODUCT, "app_uid": identity}
    if kind == "user":
        is_admin = record.text("actor_role") in ADMINISTRATORS
        type_id, type_name = (2, "Admin") if is_admin else (1, "User")
    else:
        type_id, type_name = (OTHER, kind or "unknown")
    return {
        "user": {
            "uid": identity,
            "name": label or kind or "unknown",
            "type_id": type_id,
            "type": type_name,
        }
    }


def _source(record: Record) -> dict[str, Any]:
    """Return where the request came from; what the portal did itself has a name."""
    address = record.text("actor_address")
    return {"ip": address} if address else {"name": PRODUCT}


def _person(record: Record) -> dict[str, Any]:
    """Return whom an entry concerns; OCSF wants a name or an id even for nobody."""
    label = record.text("person_label") or record.text("target_label")
    return {"uid": record.text("person_id"), "name": label or "unknown"}


def _resources(record: Record) -> list[dict[str, Any]]:
    return [
        {
            "uid": record.text(f"{party}_id"),
            "name": record.text(f"{party}_label"),
            "type": party,
        }
        for party in PARTIES
        if record.text(f"{party}_id") or record.text(f"{party}_label")
    ]


def _connection_info(record: Record, source: str) -> dict[str, Any]:
    protocol = record.values.get("protocol")
    return {
        "uid": record.text("flow"),
        # From a person's device into the network behind the gateway.
        "direction_id": 1,
        "direction": "Inbound",
        "protocol_num": protocol,
        "protocol_name": PROTOCOLS.get(protocol) if protocol is not None else None,
        "protocol_ver_id": ip_address(source).version if source else 0,
    }


def _moment(text: str | None) -> int | None:
    return milliseconds(datetime.fromisoformat(text)) if text else None


def _traffic(values: Mapping[str, Any]) -> dict[str, Any]:
    up, down = values.get("bytes_up"), values.get("bytes_down")
    return {
        "bytes_out": up,
        "bytes_in": down,
        "bytes": None if up is None or down is None else up + down,
        "packets_out": values.get("packets_up"),
        "packets_in": values.get("packets_down"),
    }


def _present(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without what is empty, however deep."""
    found = {
        key: _present(item) if isinstance(item, dict) else item
        for key, item in value.items()
    }
    return {key: item for key, item in found.items() if item not in (None, "", {}, [])}
