"""One line for each address: what is sent there, and whether it must change something.

An address without a line makes the walk red. `looks()` is a page that changes nothing,
whatever the method; `changes(...)` must change a table that counts, so that data which
no longer fits is found. `asks(...)` takes a question by POST and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeAlias

from tests.walks.company import Company, moment

Sent: TypeAlias = Callable[[Company], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What a privileged client sends to one address.

    `at` replaces numbers of the address. `is_json` says how POST is written.
    """

    sent: Sent = field(default=lambda _: {})
    must_change: bool = False
    at: Mapping[str, Callable[[Company], object]] = field(default_factory=dict)
    is_json: bool = False
    why: str = ""


def looks(why: str = "", **at: Callable[[Company], object]) -> Line:
    """Return the line of a page that only shows something."""
    return Line(why=why, at=at)


def changes(sent: Sent, **at: Callable[[Company], object]) -> Line:
    """Return the line of a page that changes something."""
    return Line(sent=sent, must_change=True, at=at)


def asks(sent: Sent) -> Line:
    """Return the line of a page that answers a question that is posted."""
    return Line(sent=sent)


def calls(sent: Sent, **at: Callable[[Company], object]) -> Line:
    """Return the line of an API operation that changes something."""
    return Line(sent=sent, must_change=True, at=at, is_json=True)


def _because(_company: Company) -> Mapping[str, Any]:
    return {"reason": "a walk", "note": "a walk"}


def _nothing(_company: Company) -> Mapping[str, Any]:
    return {}


def _application(company: Company) -> Mapping[str, Any]:
    return {
        "name": "Handbook",
        "description": "walked",
        "destinations": "10.20.9.0/24 tcp/443",
        "gateways": [company.world.gateways["berlin"].pk],
        "evidence": "strict",
    }


def _gateway(name: str) -> Sent:
    return lambda _: {
        "name": name,
        "endpoint_host": f"{name}.gw.example.test",
        "endpoint_port": 51821,
    }


def _person(name: str) -> Callable[[Company], object]:
    return lambda company: company.world.people[name].pk


def _request(name: str) -> Callable[[Company], object]:
    return lambda company: company.world.requests[name].pk


def _own_request(company: Company) -> object:
    return company.own_request.pk


def _quarantined(company: Company) -> object:
    return company.world.gateways["lisbon"].pk


def _approved(company: Company) -> object:
    return company.world.devices["desk"].pk


def _question(company: Company) -> Mapping[str, Any]:
    return {
        "person": company.world.people["alice"].ref.id,
        "destination": "10.20.1.8",
        "port": "443",
        "policy": "{}",
    }


def _supposed(_company: Company) -> Mapping[str, Any]:
    return {"user": "alice", "destination": "10.20.1.8", "port": 443, "policy": "{}"}


IDENTITY: Final = "tests/portal/accounts/sso sends what an identity provider sends"
AGENT: Final = "signed; the walk of gateways sends it"

ACCOUNTS: Final[dict[str, Line]] = {
    "healthz": looks(),
    "healthz/log": looks(),
    "metrics": looks("tests/portal/test_metrics sends the token"),
    "accounts/login/": looks(IDENTITY),
    "accounts/confirm/": looks(IDENTITY),
    "accounts/logout/": looks("it ends a session: ID002"),
    "accounts/sso/login/": looks(IDENTITY),
    "accounts/sso/login/callback/": looks(IDENTITY),
    "accounts/cancelled/": looks(),
    "accounts/error/": looks(),
    "accounts/sessions/": looks(),
    "identity/o/device": looks("tests/portal/accounts/test_device_grant"),
    "identity/o/api/device/code": looks("the same"),
    "identity/o/api/token": looks("the same"),
    "identity/o/api/revoke": looks("the same"),
}
OWN: Final[dict[str, Line]] = {
    "": looks(),
    "devices/": looks(),
    "devices/add/": looks(),
    "devices/<int:device_id>/": looks(),
    "devices/<int:device_id>/rename/": changes(lambda _: {"name": "Walked"}),
    "devices/<int:device_id>/revoke/": changes(_because),
    "access/": looks(),
    "activity/": looks(),
    "access/explain/": looks(),
    "requests/": looks(),
    "requests/new/": looks(),
    "requests/new/<int:application_id>/": changes(
        lambda _: {"reason": "a walk", "count": 2, "unit": "hours"},
        application_id=lambda company: company.world.applications["database"].pk,
    ),
    "requests/inbox/": looks(),
    "requests/<int:request_id>/": looks(),
    "requests/<int:request_id>/cancel/": changes(_nothing, request_id=_own_request),
    "requests/<int:request_id>/approve/": changes(_because),
    "requests/<int:request_id>/refuse/": changes(_because),
    "requests/<int:request_id>/end/": changes(_because, request_id=_request("granted")),
}
PEOPLE: Final[dict[str, Line]] = {
    "manage/requests/": looks(),
    "manage/applications/<int:application_id>/requests/": changes(
        lambda company: {
            "is_requestable": "on",
            "person": company.world.people["alice"].ref.id,
            "needs_two_approvals": "on",
        }
    ),
    "manage/devices/": looks(),
    "manage/devices/<int:device_id>/approve/": changes(_nothing),
    "manage/devices/<int:device_id>/withdraw/": changes(_because, device_id=_approved),
    "manage/users/": looks(),
    "manage/users/suggest/": looks(),
    "manage/users/revoke/": changes(
        lambda _: {"people": "alice\nbob", "reason": "a walk", "count": 2}
    ),
    "manage/users/<int:user_id>/": looks(),
    "manage/users/<int:user_id>/revoke/": changes(_because),
    "manage/users/<int:user_id>/reactivate/": changes(
        _because, user_id=_person("mallory")
    ),
    "manage/revocations/": looks(),
    "manage/revocations/<int:revocation_id>/": looks(),
    "manage/revocations/<int:revocation_id>/progress/": looks(),
}
POLICY: Final[dict[str, Line]] = {
    "manage/applications/": looks(),
    "manage/applications/add/": changes(_application),
    "manage/applications/<int:application_id>/": looks(),
    "manage/applications/<int:application_id>/edit/": changes(_application),
    "manage/applications/<int:application_id>/delete/": changes(
        _because, application_id=lambda company: company.spare.pk
    ),
    "manage/labels/": looks(),
    "manage/labels/add/": changes(lambda _: {"name": "walked"}),
    "manage/labels/<int:label_id>/": looks(),
    "manage/labels/<int:label_id>/delete/": changes(_because),
    "manage/labels/grants/<int:label_grant_id>/end/": changes(_because),
    "manage/grants/": looks(),
    "manage/grants/add/": changes(
        lambda company: {
            "person": company.world.people["bob"].ref.id,
            "application": company.world.applications["database"].pk,
            "reason": "a walk",
        }
    ),
    "manage/grants/<int:grant_id>/end/": changes(_because),
    "manage/locks/": looks(),
    "manage/locks/add/": looks("it asks what to lock; the next page locks"),
    "manage/locks/add/<slug:kind>/<int:target_id>/": changes(
        lambda _: {"message": "a walk"}
    ),
    "manage/locks/<int:lock_id>/lift/": changes(_because),
    "manage/explain/": looks(),
    "manage/explain/policy/": asks(_question),
    "manage/reach/applications/": looks(),
    "manage/reach/people/": looks(),
    "manage/reach/changes/": looks(),
}
GATEWAYS: Final[dict[str, Line]] = {
    "manage/gateways/": looks(),
    "manage/gateways/add/": changes(_gateway("walked")),
    "manage/gateways/recovery/": looks(),
    "manage/gateways/recovery/begin/": changes(_nothing),
    "manage/gateways/<int:gateway_id>/": looks(),
    "manage/gateways/<int:gateway_id>/edit/": changes(_gateway("madrid")),
    "manage/gateways/<int:gateway_id>/token/": changes(
        _because, gateway_id=lambda company: company.porto.pk
    ),
    "manage/gateways/<int:gateway_id>/retire/": changes(_because),
    "manage/gateways/<int:gateway_id>/release/": changes(
        _because, gateway_id=_quarantined
    ),
    "manage/credentials/": looks(),
    "manage/credentials/add/": changes(
        lambda _: {
            "name": "walker",
            "kind": "api_key",
            "scopes": ["policy:read"],
            "days": 30,
        }
    ),
    "manage/credentials/<int:credential_id>/revoke/": changes(_because),
}
LOGS: Final[dict[str, Line]] = {
    "audit/connections/": looks(),
    "audit/connections/export/": looks(),
    "audit/connections/<int:connection_id>/": looks(),
    "audit/connections/<int:connection_id>/receipt/": looks(),
    "audit/connections/<int:connection_id>/receipt/download/": looks(),
    "audit/events/": looks(),
    "audit/events/export/": looks(),
    "audit/events/codes/": looks(),
    "audit/witnesses/": looks(),
    "audit/retention/": looks(),
    "audit/events/<uuid:uid>/": looks(),
    "audit/addresses/": looks(),
    "audit/evidence/": asks(lambda _: {"since": "2026-11-01", "until": "2026-11-02"}),
    "audit/searches/": looks(),
    "audit/searches/add/<slug:log>/": changes(lambda _: {"name": "walked"}),
    "audit/searches/<int:search_id>/remove/": changes(_nothing),
    "audit/timeline/<slug:about>/<str:ref>/": looks(),
    "audit/used/applications/<int:application_id>/": looks(),
    "audit/used/people/<int:user_id>/": looks(),
}


def _review(company: Company) -> object:
    return company.numbers["decided_id"]


def _kept(company: Company) -> Mapping[str, Any]:
    return {"keep_one": company.numbers["choice"]}


REVIEWS: Final[dict[str, Line]] = {
    "reviews/": looks(),
    "reviews/<int:campaign_id>/": changes(_kept),
    "reviews/<int:campaign_id>/result/": looks(),
    "manage/reviews/start/": changes(
        lambda company: {
            "title": "walked",
            "applications": [company.world.applications["wiki"].pk],
            "reviewers": "dave",
            "due": f"{moment() + timedelta(days=7):%Y-%m-%d}",
            "start": "",
        }
    ),
    "manage/reviews/<int:campaign_id>/finish/": changes(_nothing, campaign_id=_review),
    "manage/reviews/<int:campaign_id>/call-off/": changes(_because),
}


def _channel(name: str) -> Sent:
    return lambda _: {
        "name": name,
        "kind": "webhook",
        "address": "https://hooks.example.test/other",
        "least_severity": "2",
        "rules": ["drift"],
        "enabled": "on",
    }


def _stream(name: str) -> Sent:
    return lambda _: {
        "name": name,
        "kind": "webhook",
        "address": "https://siem.example.test/in",
        "form": "native",
        "logs": ["control", "connections"],
        "begin": "now",
        "least_severity": "info",
    }


ALARMS: Final[dict[str, Line]] = {
    "audit/alarms/": looks(),
    "audit/alarms/count/": looks(),
    "audit/alarms/rules/": looks(),
    "audit/alarms/<int:alarm_id>/": looks(),
    "audit/alarms/<int:alarm_id>/acknowledge/": changes(_nothing),
    "audit/alarms/<int:alarm_id>/assign/": changes(
        lambda company: {"assignee": company.auditor.pk}
    ),
    "audit/alarms/<int:alarm_id>/verdict/": changes(
        lambda _: {"verdict": "benign", "note": "a walk"}
    ),
    "audit/alarms/channels/": looks(),
    "audit/alarms/channels/add/": changes(_channel("walked")),
    "audit/alarms/channels/<int:channel_id>/": looks(),
    "audit/alarms/channels/<int:channel_id>/edit/": changes(_channel("other")),
    "audit/alarms/channels/<int:channel_id>/delete/": changes(_because),
    "audit/alarms/channels/<int:channel_id>/secret/": changes(_nothing),
    "audit/alarms/channels/<int:channel_id>/test/": changes(_nothing),
}
STREAMS: Final[dict[str, Line]] = {
    "audit/streams/": looks(),
    "audit/streams/add/": changes(_stream("walked")),
    "audit/streams/<int:stream_id>/": looks(),
    "audit/streams/<int:stream_id>/edit/": changes(_stream("other")),
    "audit/streams/<int:stream_id>/secret/": changes(_nothing),
    "audit/streams/<int:stream_id>/start/": changes(
        _nothing, stream_id=lambda company: company.numbers["stopped_id"]
    ),
    "audit/streams/<int:stream_id>/stop/": changes(_because),
    "audit/streams/<int:stream_id>/test/": looks("an entry is sent: AU034"),
}
API: Final[dict[str, Line]] = {
    "api/v1/challenges/": looks(),
    "api/v1/devices/": looks("tests/peers/api enrols with a proof"),
    "api/v1/devices/<int:device_id>/config/": looks(),
    "api/v1/devices/<int:device_id>/revoke/": calls(lambda _: {"reason": "a walk"}),
    "api/v1/me/": looks(),
    "api/v1/requests/": calls(
        lambda company: {
            "application": company.world.applications["database"].pk,
            "reason": "a walk",
            "duration_seconds": 7200,
        }
    ),
    "api/v1/requests/applications/": looks(),
    "api/v1/requests/<int:request_id>/": looks(),
    "api/v1/requests/<int:request_id>/cancel/": calls(
        _nothing, request_id=_own_request
    ),
    "api/v1/requests/<int:request_id>/approve/": calls(lambda _: {"note": "a walk"}),
    "api/v1/requests/<int:request_id>/refuse/": calls(lambda _: {"note": "a walk"}),
    "api/v1/requests/<int:request_id>/end/": calls(
        _nothing, request_id=_request("granted")
    ),
    "api/v1/locks/": calls(
        lambda company: {
            "target": company.world.people["bob"].ref.id,
            "message": "a walk",
            "confirm": True,
        }
    ),
    "api/v1/locks/<int:lock_id>/lift/": calls(_nothing),
    "api/v1/users/<int:user_id>/revoke/": calls(_because),
    "api/v1/revocations/<int:revocation_id>/": looks(),
    "api/v1/connections/": looks(),
    "api/v1/connections/<int:connection_id>/": looks(),
    "api/v1/alarms/": looks(),
    "api/v1/alarms/<int:alarm_id>/": looks(),
    "api/v1/holders/": looks(),
    "api/v1/effect/": Line(
        is_json=True,
        sent=lambda company: {
            "change": "lock.create",
            "target": company.world.people["bob"].ref.id,
        },
        why="it tries a change and takes it back",
    ),
    "api/v1/explain/": Line(is_json=True, sent=_supposed),
    "api/v1/reach/applications/<int:application_id>/": looks(),
    "api/v1/reach/people/<int:user_id>/": looks(),
    "api/v1/reach/changes/": looks(),
}
PROGRAMS: Final[dict[str, Line]] = {
    "api/v2/tailnet/<str:tailnet>/acl": calls(
        lambda company: {
            "hosts": {"walked": "10.20.9.0/24"},
            "grants": [
                {
                    "src": [company.world.people["alice"].email],
                    "dst": ["walked"],
                    "ip": ["tcp:443"],
                }
            ],
        }
    ),
    "api/v2/tailnet/<str:tailnet>/acl/validate": Line(is_json=True),
    "api/v2/tailnet/<str:tailnet>/acl/preview": Line(is_json=True),
    "api/v2/oauth/token": looks("tests/portal/accounts/api/test_oauth"),
}
AGENTS: Final[dict[str, Line]] = {
    f"api/gateway/v1/{name}": looks(AGENT)
    for name in (
        "enroll",
        "key",
        "snapshot",
        "notices",
        "acks",
        "names",
        "revoked",
        "evidence",
        "witness",
    )
}
LINES: Final[dict[str, Line]] = {
    **ACCOUNTS,
    **OWN,
    **PEOPLE,
    **POLICY,
    **GATEWAYS,
    **LOGS,
    **REVIEWS,
    **ALARMS,
    **STREAMS,
    **API,
    **PROGRAMS,
    **AGENTS,
}
