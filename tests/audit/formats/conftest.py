"""Entries of both logs, as formats take them; no database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from audit.catalogue.kinds import Severity
from audit.formats.records import CONNECTIONS, CONTROL, Record

NOON: Final = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)

MakeRecord = Callable[..., Record]

HOSTILE: Final = (
    "=cmd|'/c calc'!A1\n<13>1 2026-11-23T12:00:00Z evil su - - - root logged in"
    '\r\x1b[2J\u202e\x00"]\\[x a="b"] \u2028{{7*7}}\ud800'
)
"""D10 and D11 of the attack cases in one name, and what would end an element."""


@pytest.fixture
def make_event() -> MakeRecord:
    """Return a maker of control events; keywords of columns replace them."""

    def make(
        *,
        code: str = "DV012",
        name: str = "device.revoke",
        **fields: Any,  # noqa: ANN401 -- the fields of the record
    ) -> Record:
        columns: dict[str, Any] = {
            "actor_kind": "user",
            "actor_id": "us_4",
            "actor_label": "Dave",
            "actor_role": "administrator",
            "actor_address": "192.0.2.7",
            "request_id": "9f2c",
            "person_id": "us_1",
            "person_label": "Alice",
            "device_id": "dv_9",
            "device_label": "laptop",
            "gateway_id": "",
            "gateway_label": "",
            "application_id": "",
            "application_label": "",
            "target_id": "",
            "target_label": "",
            "reason": "lost",
            "details": {"keys": 1},
        }
        given = {key: fields.pop(key) for key in list(fields) if key in columns}
        values: dict[str, Any] = {
            "log": CONTROL,
            "index": 41,
            "uid": "0b0c9c66-9d4c-4a86-8a8b-6f3c1d2e4f50",
            "at": NOON,
            "received_at": NOON,
            "code": code,
            "outcome": "I",
            "name": name,
            "severity": Severity.INFO,
            "sentence": "laptop was revoked",
            "values": columns | given,
        }
        return Record(**values | fields)

    return make


@pytest.fixture
def make_flow_record() -> MakeRecord:
    """Return a maker of connection records; keywords of columns replace them."""

    def make(*, kind: str = "close", **fields: Any) -> Record:  # noqa: ANN401 -- the fields of the record
        code, outcome, name = {
            "open": ("FL001", "I", "flow.start"),
            "close": ("FL002", "I", "flow.end"),
            "deny": ("FL003", "W", "flow.denied"),
        }[kind]
        columns: dict[str, Any] = {
            "kind": kind,
            "flow": "f1",
            "sequence": 81220,
            "gateway_id": "gw_1",
            "gateway_label": "berlin",
            "person_id": "us_1",
            "person_label": "Alice",
            "device_id": "dv_9",
            "device_label": "laptop",
            "key_fingerprint": "ab" * 8,
            "protocol": 6,
            "source": "100.64.0.7",
            "source_port": 51234,
            "destination": "10.2.0.5",
            "destination_port": 443,
            "reason": "",
        }
        if kind != "deny":
            columns |= {
                "application_id": "ap_3",
                "application_label": "payroll",
                "grant_id": "gt_4",
                "grant_label": "engineering → payroll",
                "generation": 12,
            }
        if kind == "close":
            columns |= {
                "bytes_up": 1000,
                "bytes_down": 2000,
                "packets_up": 10,
                "packets_down": 20,
                "started_at": "2026-11-23T11:59:00+00:00",
                "ended_at": "2026-11-23T12:00:00.123456+00:00",
                "reason": "closed",
            }
        given = {key: fields.pop(key) for key in list(fields) if key in columns}
        values: dict[str, Any] = {
            "log": CONNECTIONS,
            "index": 7,
            "uid": "gw_1/81220",
            "at": NOON,
            "received_at": NOON,
            "code": code,
            "outcome": outcome,
            "name": name,
            "severity": Severity.NOTICE if kind == "deny" else Severity.INFO,
            "sentence": "Alice ended a connection to payroll at berlin",
            "values": columns | given,
        }
        return Record(**values | fields)

    return make
