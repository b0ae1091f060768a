"""What a gateway's host names stand for: told over HTTP, kept, logged where new."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit.models import AuditEvent
from peers.models import Gateway
from policies import services
from policies.models import Resolution
from policies.resolutions import fresh_reports, resolved_by, told_names
from tests.peers.makers import codes
from tests.policies.api.agents import SigningAgent
from tests.policies.makers import NOW
from tests.policies.makers import agent as acting

pytestmark = pytest.mark.django_db

DB, WWW = "db.example.com", "www.example.com"


@pytest.fixture
def agent(gw1: Gateway) -> SigningAgent:
    """The agent of gw1."""
    return SigningAgent(gw1)


def test_what_names_stand_for_is_kept_in_order(agent: SigningAgent) -> None:
    names = {DB: ["fd20::9", "10.20.0.10", "10.20.0.9", "10.20.0.9"], WWW: []}
    answer = agent.post("names", {"names": names})
    assert (answer.status_code, answer.content) == (204, b"")
    assert Resolution.objects.get().names == {
        DB: ["10.20.0.9", "10.20.0.10", "fd20::9"],
        WWW: [],
    }


def test_only_what_is_new_is_an_event(agent: SigningAgent) -> None:
    agent.post("names", {"names": {DB: ["10.20.0.9"], WWW: ["10.20.0.1"]}})
    agent.post("names", {"names": {DB: ["10.20.0.9"], WWW: ["10.20.0.1"]}})
    agent.post("names", {"names": {DB: ["10.20.0.8"]}})
    assert codes() == ["GW014I", "GW014I"]
    event = AuditEvent.objects.order_by("-pk")[0]
    assert event.details == {"names": {DB: ["10.20.0.8"], WWW: []}}
    assert event.gateway_id == agent.gateway.ref.id


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"names": []},
        {"names": {}, "more": 1},
        {"names": {"*.example.com": []}},
        {"names": {"DB.example.com": []}},
        {"names": {DB: "10.20.0.9"}},
        {"names": {DB: ["10.20.0.0/16"]}},
        {"names": {DB: [5]}},
        {"names": {DB: ["10.20.0.9"] * 129}},
        {"names": {f"h{n}.example.com": [] for n in range(20_001)}},
    ],
    ids=lambda document: repr(document)[:40],
)
def test_a_malformed_report_is_refused_with_one_event(
    agent: SigningAgent, document: object
) -> None:
    answer = agent.post("names", document)
    assert answer.status_code == 422
    assert codes() == ["GW013W"]
    assert not Resolution.objects.exists()


def test_an_unsigned_report_is_refused(agent: SigningAgent) -> None:
    headers = agent.headers("POST", "names", b'{"names":{}}')
    answer = agent.post_bytes("names", b'{"names":{} }', **headers)
    assert answer.status_code == 401
    assert not Resolution.objects.exists()


def test_a_report_counts_for_five_minutes(gw1: Gateway) -> None:
    services.record_resolution(
        gateway=gw1, names={DB: ["10.20.0.9"]}, actor=acting(gw1), now=NOW
    )
    soon, late = NOW + timedelta(minutes=4), NOW + timedelta(minutes=5)
    report = fresh_reports([gw1.pk], now=soon)[gw1.pk]
    assert [str(a) for a in resolved_by(report)[DB]] == ["10.20.0.9"]
    assert fresh_reports([gw1.pk], now=late) == {}
    assert resolved_by(None) == {}


def test_each_name_is_told_for_each_gateway(gw1: Gateway) -> None:
    services.record_resolution(
        gateway=gw1, names={DB: ["10.20.0.9"]}, actor=acting(gw1), now=NOW
    )
    told = told_names([WWW, DB, "", DB], [gw1], fresh_reports([gw1], now=NOW))
    assert [(t.host, t.addresses, t.told_at) for t in told] == [
        (DB, ("10.20.0.9",), NOW),
        (WWW, (), None),
    ]
