"""A connection that is not what its flow events say is named."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit import services
from audit.comparing import differences
from audit.models import Connection, FlowKind
from tests.audit.conftest import GATEWAY, NOON, MakeFlow

pytestmark = pytest.mark.django_db

OPEN, CLOSE, DENY = FlowKind.OPEN, FlowKind.CLOSE, FlowKind.DENY


@pytest.fixture(autouse=True)
def morning(make_flow: MakeFlow) -> None:
    """Three flows: one open, one ended out of order, one denied in three packets."""
    flows = [
        make_flow(OPEN, 1),
        make_flow(CLOSE, 2, flow="f2"),
        make_flow(OPEN, 3, flow="f2"),
        *(make_flow(DENY, number, flow="f3", reason="no_grant") for number in (4, 5)),
        make_flow(DENY, 6, flow="f1", reason="lease"),
    ]
    for flow in flows:
        services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)


def test_projection_is_what_its_events_say() -> None:
    assert Connection.objects.count() == 4
    assert list(differences()) == []


def test_rebuilt_projection_is_what_its_events_say() -> None:
    services.rebuild_connections()
    assert list(differences()) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"person_id": "us_2"}, "person_id"),
        ({"person_label": "Bob"}, "person_label"),
        ({"destination": "10.2.0.6"}, "destination"),
        ({"bytes_up": 1}, "bytes_up"),
        ({"started_at": NOON - timedelta(days=1)}, "started_at"),
        ({"ended_at": None}, "ended_at"),
        ({"key_fingerprint": ""}, "key_fingerprint"),
        ({"grant_id": "gt_5"}, "grant_id"),
        ({"end_reason": "x"}, "end_reason"),
        ({"generation": 13}, "generation"),
    ],
    ids=str,
)
def test_changed_connection_is_named_with_the_column(
    change: dict[str, Any], named: str
) -> None:
    row = Connection.objects.get(flow="f2")
    Connection.objects.filter(pk=row.pk).update(**change)
    found = list(differences())
    assert [(item.number, item.key[1]) for item in found] == [(row.pk, "f2")]
    assert named in found[0].message


def test_deleted_connection_is_named() -> None:
    Connection.objects.get(flow="f3").delete()
    assert [item.key for item in differences()] == [("gw_1", "f3", "denied")]


def test_invented_connection_is_named() -> None:
    row = Connection.objects.get(flow="f3")
    row.pk, row.flow = None, "f9"
    row.save(force_insert=True)
    found = list(differences())
    assert [(item.number, item.message) for item in found] == [
        (row.pk, "no flow event tells of it")
    ]


def test_connection_under_another_verdict_is_named_twice() -> None:
    row = Connection.objects.get(flow="f3")
    Connection.objects.filter(pk=row.pk).update(verdict="allowed")
    assert [item.number for item in differences()] == [row.pk, None]
