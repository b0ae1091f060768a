"""OCSF: what the published schema (1.3.0) requires is there, and of its type."""

from __future__ import annotations

from typing import Any, Final

import pytest

from audit.catalogue.kinds import Severity
from audit.events import CATALOGUE, EventCode
from audit.formats.ocsf import VERSION, ocsf
from tests.audit.formats.conftest import HOSTILE, MakeRecord

# From the schema's own files (github.com/ocsf/ocsf-schema: events, objects, profiles):
# what each class requires, which values it knows, and of which one must be there.
BASE: Final = {
    "activity_id": int,
    "category_uid": int,
    "class_uid": int,
    "type_uid": int,
    "time": int,
    "severity_id": int,
    "metadata": dict,
}
REQUIRED: Final[dict[int, dict[str, type]]] = {
    3001: {**BASE, "user": dict},
    3002: {**BASE, "user": dict},
    4001: {**BASE, "action_id": int, "disposition_id": int},
    6003: {**BASE, "actor": dict, "api": dict, "src_endpoint": dict},
}
ACTIVITIES: Final = {
    3001: {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 99},
    3002: {0, 1, 2, 3, 4, 5, 99},
    4001: {0, 1, 2, 3, 4, 5, 6, 99},
    6003: {0, 1, 2, 3, 4, 99},
}
AT_LEAST_ONE: Final = {
    3001: [{"user"}],
    3002: [{"service", "dst_endpoint"}],
    4001: [{"dst_endpoint", "src_endpoint"}],
    6003: [{"api"}],
}
OBJECTS: Final[dict[str, tuple[dict[str, type], set[str]]]] = {
    "metadata": ({"version": str, "product": dict}, {"version"}),
    "product": ({"vendor_name": str}, {"name", "uid"}),
    "user": ({}, {"account", "name", "uid"}),
    "actor": ({}, {"process", "user", "session", "app_name", "app_uid"}),
    "api": ({"operation": str}, {"operation"}),
    "request": ({"uid": str}, {"uid"}),
    "service": ({}, {"name", "uid"}),
    "src_endpoint": ({}, {"ip", "uid", "name", "hostname", "svc_name"}),
    "dst_endpoint": ({}, {"ip", "uid", "name", "hostname", "svc_name"}),
    "proxy_endpoint": ({}, {"ip", "uid", "name", "hostname", "svc_name"}),
    "device": ({"type_id": int}, {"ip", "uid", "name", "hostname"}),
    "connection_info": ({"direction_id": int}, {"direction_id"}),
    "firewall_rule": ({}, {"name", "uid"}),
}


def check_object(name: str, value: dict[str, Any]) -> None:
    """Check an object and those within it; names of ours are not looked at."""
    if name == "unmapped":
        return
    required, one_of = OBJECTS.get(name, ({}, set()))
    for field, kind in required.items():
        assert type(value.get(field)) is kind, f"{name}.{field}"
    assert not one_of or one_of & set(value), name
    for field, item in value.items():
        assert item not in (None, "", {}, []), f"{name}.{field} is empty"
        if isinstance(item, dict):
            check_object(field, item)


def check(event: dict[str, Any]) -> None:
    """Check an event against what the schema says of its class."""
    class_uid = event["class_uid"]
    for field, kind in REQUIRED[class_uid].items():
        assert type(event.get(field)) is kind, field
    for names in AT_LEAST_ONE[class_uid]:
        assert names & set(event)
    assert event["activity_id"] in ACTIVITIES[class_uid]
    assert event["category_uid"] == class_uid // 1000
    assert event["type_uid"] == class_uid * 100 + event["activity_id"]
    assert event["severity_id"] in {0, 1, 2, 3, 4, 5, 6, 99}
    assert event["status_id"] in {0, 1, 2, 99}
    assert event["metadata"]["version"] == VERSION == "1.3.0"
    check_object("event", event)


@pytest.mark.parametrize("code", EventCode)
def test_every_code_has_a_class_with_all_that_it_requires(
    code: EventCode, make_event: MakeRecord
) -> None:
    check(ocsf(make_event(code=code.value, name=CATALOGUE[code].name), deployment="a"))


@pytest.mark.parametrize(
    "columns",
    [
        {"actor_kind": "system", "actor_id": "", "actor_label": ""},
        {"actor_kind": "anonymous", "actor_id": "", "actor_label": ""},
        {"person_id": "", "person_label": "", "device_id": "", "device_label": ""},
        {"actor_address": "", "request_id": "", "reason": "", "details": {}},
    ],
    ids=["the portal itself", "a stranger", "nobody", "from nowhere"],
)
@pytest.mark.parametrize("code", ["ID001", "ID008", "DV012"])
def test_what_is_not_known_leaves_nothing_required_out(
    columns: dict[str, Any], code: str, make_event: MakeRecord
) -> None:
    check(ocsf(make_event(code=code, **columns), deployment="a"))


@pytest.mark.parametrize(
    ("code", "name", "expected"),
    [
        ("ID001", "user.login", 300201),
        ("ID002", "user.logout", 300202),
        ("ID006", "user.provision", 300101),
        ("ID008", "user.deactivate", 300105),
        ("ID009", "user.reactivate", 300102),
        ("ID010", "group.membership.change", 300199),
        ("PL001", "app.create", 600301),
        ("AU001", "audit.query", 600302),
        ("PL002", "app.update", 600303),
        ("DV012", "device.revoke", 600304),
        ("XX999", "a.word_nobody_knows", 600303),
    ],
)
def test_a_code_says_its_class_and_activity(
    code: str, name: str, expected: int, make_event: MakeRecord
) -> None:
    assert ocsf(make_event(code=code, name=name), deployment="a")["type_uid"] == (
        expected
    )


@pytest.mark.parametrize(
    ("kind", "reason", "type_uid", "action", "disposition"),
    [
        ("open", "", 400101, 1, 1),
        ("close", "closed", 400102, 1, 1),
        ("close", "revoked", 400103, 1, 1),
        ("deny", "no_grant", 400105, 2, 6),
    ],
)
def test_a_flow_says_what_was_done_with_it(
    kind: str,
    reason: str,
    type_uid: int,
    action: int,
    disposition: int,
    make_flow_record: MakeRecord,
) -> None:
    event = ocsf(make_flow_record(kind=kind, reason=reason), deployment="a")
    check(event)
    assert event["type_uid"] == type_uid
    assert (event["action_id"], event["disposition_id"]) == (action, disposition)


def test_a_flow_says_who_reached_what(make_flow_record: MakeRecord) -> None:
    event = ocsf(make_flow_record(), deployment="acme")
    assert event["actor"]["user"] == {"uid": "us_1", "name": "Alice"}
    assert event["device"]["uid"] == "dv_9"
    assert event["src_endpoint"]["ip"] == "100.64.0.7"
    assert event["src_endpoint"]["port"] == 51234
    assert (event["dst_endpoint"]["ip"], event["dst_endpoint"]["port"]) == (
        "10.2.0.5",
        443,
    )
    assert event["app_name"] == "payroll"
    assert event["firewall_rule"]["uid"] == "gt_4"
    assert event["proxy_endpoint"] == {"uid": "gw_1", "name": "berlin"}
    assert event["connection_info"]["protocol_num"] == 6
    assert event["connection_info"]["protocol_ver_id"] == 4
    assert event["end_time"] - event["start_time"] == 60_123
    assert event["unmapped"]["key_fingerprint"] == "ab" * 8


def test_bytes_go_out_from_the_device(make_flow_record: MakeRecord) -> None:
    traffic = ocsf(make_flow_record(), deployment="a")["traffic"]
    assert traffic == {
        "bytes_out": 1000,
        "bytes_in": 2000,
        "bytes": 3000,
        "packets_out": 10,
        "packets_in": 20,
    }


def test_a_flow_of_nobody_is_still_an_event(make_flow_record: MakeRecord) -> None:
    event = ocsf(
        make_flow_record(
            kind="deny",
            person_id="",
            person_label="",
            device_id="",
            device_label="",
            source="fd5e:e4a6:e000::7",
        ),
        deployment="a",
    )
    check(event)
    assert event["actor"]["user"] == {"name": "unknown"}
    assert event["connection_info"]["protocol_ver_id"] == 6


@pytest.mark.parametrize(
    ("severity", "outcome", "severity_id", "status_id"),
    [
        (Severity.INFO, "I", 1, 1),
        (Severity.NOTICE, "I", 2, 1),
        (Severity.WARNING, "W", 3, 2),
        (Severity.WARNING, "E", 3, 2),
        (Severity.ALERT, "A", 4, 1),
    ],
)
def test_severity_and_status_follow_the_entry(
    severity: Severity,
    outcome: str,
    severity_id: int,
    status_id: int,
    make_event: MakeRecord,
) -> None:
    event = ocsf(make_event(severity=severity, outcome=outcome), deployment="a")
    assert (event["severity_id"], event["status_id"]) == (severity_id, status_id)


def test_nothing_of_an_event_is_lost(make_event: MakeRecord) -> None:
    event = ocsf(
        make_event(target_id="gt_4", target_label="engineering → payroll"),
        deployment="acme",
    )
    assert event["metadata"]["uid"] == make_event().uid
    assert event["metadata"]["sequence"] == 41
    assert event["metadata"]["event_code"] == "DV012I"
    assert event["metadata"]["correlation_uid"] == "9f2c"
    assert event["status_detail"] == "lost"
    assert event["unmapped"]["details"] == {"keys": 1}
    assert event["src_endpoint"] == {"ip": "192.0.2.7"}
    assert {found["type"]: found["uid"] for found in event["resources"]} == {
        "person": "us_1",
        "device": "dv_9",
        "target": "gt_4",
    }


def test_a_name_cannot_hide_in_it(make_event: MakeRecord) -> None:
    event = ocsf(make_event(person_label=HOSTILE, sentence=HOSTILE), deployment="a")
    told = f"{event['message']} {event['resources'][0]['name']}"
    assert told.isprintable()
    assert "\\u202e" in told
