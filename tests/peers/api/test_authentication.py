"""Signed requests: who speaks for a gateway, and who does not."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.cache import cache
from django.db import connection
from django.test import RequestFactory

from audit.actor import SYSTEM, Actor, ActorKind
from audit.http import PortalRequest
from audit.models import AuditEvent
from audit.refusals import FROM_ONE_PLACE
from gateway.signing import Request, signed_headers
from peers import services
from peers.api.authentication import authenticate_gateway, gateway_actor
from peers.api.problems import refusal
from peers.errors import (
    ClockError,
    GatewayRequestError,
    QuarantineError,
    ReplayError,
)
from peers.models import Gateway, GatewayChannel
from tests.peers.api.signing import SignedRequest
from tests.peers.makers import NOW, Agent, codes, make_gateway

pytestmark = pytest.mark.django_db
STRANGER = Actor(
    kind=ActorKind.ANONYMOUS, address="192.0.2.9", request_id="0123456789abcdef"
)


@pytest.fixture
def agent() -> Agent:
    """Return the agent of the gateway under test."""
    return Agent()


@pytest.fixture
def edge(agent: Agent) -> Gateway:
    """Return an enrolled gateway."""
    token = services.issue_enrolment_token(
        gateway=make_gateway("edge"), actor=SYSTEM, now=NOW
    )
    return agent.enroll(token)


@pytest.fixture
def signed(agent: Agent, edge: Gateway) -> SignedRequest:
    """Return a request as the agent signs it."""
    return SignedRequest(key=agent.signing, keyid=edge.ref.id)


def received(sent: SignedRequest) -> PortalRequest:
    """Return the request as the portal's middleware hands it on."""
    request = cast(
        "PortalRequest",
        RequestFactory().generic(
            sent.method,
            f"{sent.path}?{sent.query}" if sent.query else sent.path,
            sent.body,
            content_type="application/json",
            headers=sent.fields(),
        ),
    )
    request.actor, request.received_at = STRANGER, NOW
    return request


def authenticate(sent: SignedRequest) -> Gateway:
    """Judge a request on the channel `acks`."""
    return authenticate_gateway(received(sent), channel="acks", now=NOW)


def assert_refused(sent: SignedRequest) -> None:
    """Refused, one event, and no counter moved."""
    before, seen = codes(), list(Gateway.objects.values_list("seen_at", flat=True))
    counters = list(GatewayChannel.objects.values_list("name", "sequence"))
    with pytest.raises(GatewayRequestError):
        authenticate(sent)
    assert codes() == [*before, "GW013W"]
    assert list(GatewayChannel.objects.values_list("name", "sequence")) == counters
    assert list(Gateway.objects.values_list("seen_at", flat=True)) == seen


def test_the_key_of_an_enrolled_gateway_speaks_for_it(
    signed: SignedRequest, edge: Gateway
) -> None:
    assert authenticate(signed) == edge
    channel = GatewayChannel.objects.get()
    assert (channel.name, channel.sequence) == ("acks", 1)
    edge.refresh_from_db()
    assert edge.seen_at == NOW
    assert codes()[-1] == "GW001I"


def test_a_get_with_a_query_and_no_body_is_signed_too(signed: SignedRequest) -> None:
    authenticate(signed.but(method="GET", query="after=0&epoch=1", body=b""))


def test_what_the_agent_signs_the_portal_accepts(agent: Agent, edge: Gateway) -> None:
    url = "http://testserver/api/gateway/v1/snapshot?after=0"
    fields = signed_headers(
        Request(method="GET", url=url, body=b""),
        key=agent.signing,
        keyid=edge.ref.id,
        sequence=1,
        created=int(NOW.timestamp()),
        nonce=bytes(16),
    )
    request = cast("PortalRequest", RequestFactory().get(url, headers=fields))
    request.actor = STRANGER
    assert authenticate_gateway(request, channel="snapshot", now=NOW) == edge


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda s: s.but(method="PUT", claims={"@method": "POST"}), id="method"
        ),
        pytest.param(lambda s: s.but(claims={"@path": "/api/x"}), id="path"),
        pytest.param(
            lambda s: s.but(query="a=2", claims={"@query": "?a=1"}), id="query"
        ),
        pytest.param(
            lambda s: s.but(query="a=1", claims={"@query": "?"}), id="added query"
        ),
        pytest.param(lambda s: s.but(claims={"@authority": "evil.test"}), id="host"),
        pytest.param(lambda s: s.but(headers={"Peerage-Sequence": "2"}), id="sequence"),
        pytest.param(
            lambda s: s.but(claims={"content-digest": "sha-256=:AAAA:"}), id="digest"
        ),
        pytest.param(
            lambda s: s.but(
                headers={
                    "Content-Digest": s.but(body=b"{}").fields()["Content-Digest"]
                },
                body=b"{}",
            ),
            id="body and digest",
        ),
    ],
)
def test_a_tampered_request_is_refused(
    signed: SignedRequest, change: Callable[[SignedRequest], SignedRequest]
) -> None:
    assert_refused(tampered(signed, change))


def tampered(
    signed: SignedRequest, change: Callable[[SignedRequest], SignedRequest]
) -> SignedRequest:
    """Return a changed request; a changed body keeps the old signature."""
    changed = change(signed)
    if changed.body == signed.body:
        return changed
    old = signed.fields()
    return changed.but(headers={**old, **changed.headers})


def test_a_body_that_was_exchanged_is_refused(signed: SignedRequest) -> None:
    assert_refused(signed.but(body=b"{}", headers=signed.fields()))


@pytest.mark.parametrize("seconds", [-61, 61])
def test_a_request_out_of_time_is_refused(signed: SignedRequest, seconds: int) -> None:
    assert_refused(signed.but(created=signed.created + seconds))


@pytest.mark.parametrize("seconds", [-60, 60])
def test_sixty_seconds_are_within_time(signed: SignedRequest, seconds: int) -> None:
    authenticate(signed.but(created=signed.created + seconds))


@pytest.mark.parametrize(("seconds", "ahead"), [(-31, -31), (31, 31), (60, 60)])
def test_a_clock_that_is_half_a_minute_off_is_told_once_an_hour(
    signed: SignedRequest, edge: Gateway, seconds: int, ahead: int
) -> None:
    cache.clear()
    for sequence in ("1", "2"):
        authenticate(signed.but(sequence=sequence, created=signed.created + seconds))
    event = AuditEvent.objects.get(code="GW016")
    assert (event.outcome, event.gateway_id) == ("A", edge.ref.id)
    assert event.details == {"ahead_seconds": ahead}


@pytest.mark.parametrize("seconds", [-30, 0, 30])
def test_a_clock_that_is_a_little_off_is_not_told(
    signed: SignedRequest, seconds: int
) -> None:
    cache.clear()
    authenticate(signed.but(created=signed.created + seconds))
    assert not AuditEvent.objects.filter(code="GW016").exists()


def test_a_gateway_that_is_out_of_time_is_named_but_cannot_fill_the_log(
    signed: SignedRequest, edge: Gateway
) -> None:
    late = signed.but(created=signed.created - 61)
    for _ in range(FROM_ONE_PLACE + 5):
        with pytest.raises(ClockError):
            authenticate(late)
    refused = AuditEvent.objects.filter(code="GW013", gateway_id=edge.ref.id)
    assert refused.count() == FROM_ONE_PLACE
    assert refused[0].reason.startswith("signed 61 seconds behind our clock")
    assert (
        refusal(ClockError(edge, 61)).content
        == refusal(GatewayRequestError("")).content
    )


@pytest.mark.parametrize("keyid", ["gw_999", "gw_0", "dv_1", "", "edge"])
def test_an_unknown_gateway_is_refused(signed: SignedRequest, keyid: str) -> None:
    assert_refused(signed.but(keyid=keyid))


def test_a_stranger_with_the_gateways_name_is_refused(signed: SignedRequest) -> None:
    assert_refused(signed.but(key=Ed25519PrivateKey.generate()))
    event = AuditEvent.objects.latest("id")
    assert (event.gateway_id, event.actor_kind) == ("", "anonymous")
    assert signed.keyid in event.details["claimed"]
    assert "signature" in event.reason


def test_another_gateways_key_is_refused(signed: SignedRequest) -> None:
    token = services.issue_enrolment_token(
        gateway=make_gateway("other"), actor=SYSTEM, now=NOW
    )
    other = Agent()
    other.enroll(token)
    assert_refused(signed.but(key=other.signing))


def test_a_retired_gateway_is_refused(signed: SignedRequest, edge: Gateway) -> None:
    services.retire_gateway(gateway=edge, actor=SYSTEM, now=NOW)
    assert_refused(signed)


def test_a_pending_gateway_is_refused(signed: SignedRequest) -> None:
    assert_refused(signed.but(keyid=make_gateway("waiting").ref.id))


@pytest.mark.parametrize(
    "name", ["Content-Digest", "Peerage-Sequence", "Signature-Input", "Signature"]
)
def test_an_unsigned_request_is_refused(signed: SignedRequest, name: str) -> None:
    assert_refused(signed.but(headers={name: ""}))


@pytest.mark.parametrize("sequence", ["0", "-1", "01", "1.0", "x", "9" * 19, "1, 2"])
def test_a_malformed_sequence_is_refused(signed: SignedRequest, sequence: str) -> None:
    assert_refused(signed.but(sequence=sequence))


def test_another_algorithm_is_refused(signed: SignedRequest) -> None:
    assert_refused(signed.but(alg="hmac-sha256"))


def test_two_signatures_are_refused(signed: SignedRequest) -> None:
    fields = signed.fields()
    twice = {name: f"{fields[name]}, {fields[name]}" for name in fields}
    announced = {name: twice[name] for name in ("Signature-Input", "Signature")}
    assert_refused(signed.but(headers=announced))


def test_a_request_for_another_host_is_refused(signed: SignedRequest) -> None:
    assert_refused(signed.but(headers={"Host": "evil.test"}))


def test_a_replayed_request_is_refused(signed: SignedRequest, edge: Gateway) -> None:
    authenticate(signed)
    before = codes()
    with pytest.raises(ReplayError):
        authenticate(signed)
    assert codes() == [*before, "GW013W"]
    event = AuditEvent.objects.latest("id")
    assert (event.gateway_id, event.actor_kind) == (edge.ref.id, "gateway")
    assert GatewayChannel.objects.get().sequence == 1


@pytest.mark.parametrize(
    ("second", "is_accepted"), [("6", True), ("5", False), ("4", False)]
)
def test_a_sequence_must_rise(
    signed: SignedRequest, second: str, *, is_accepted: bool
) -> None:
    authenticate(signed.but(sequence="5"))
    try:
        authenticate(signed.but(sequence=second))
    except ReplayError:
        assert not is_accepted
    else:
        assert is_accepted


def test_f03_replaying_locks_nobody(signed: SignedRequest, edge: Gateway) -> None:
    for sequence in ("5", "6", "7"):
        authenticate(signed.but(sequence=sequence, created=signed.created + 9))
    for sequence in ("7", "6", "5", "5"):
        with pytest.raises(ReplayError):
            authenticate(signed.but(sequence=sequence, created=signed.created + 9))
    edge.refresh_from_db()
    assert edge.quarantined_at is None
    assert "GW020A" not in codes()


def test_f04_a_stale_number_signed_later_locks_the_gateway(
    signed: SignedRequest, edge: Gateway
) -> None:
    authenticate(signed.but(sequence="5"))
    before = codes()
    with pytest.raises(QuarantineError):
        authenticate(signed.but(sequence="5", created=signed.created + 1))
    assert codes() == [*before, "GW020A", "GW013W"]
    edge.refresh_from_db()
    assert edge.quarantined_at == NOW
    alert = AuditEvent.objects.get(code="GW020")
    assert (alert.gateway_id, alert.actor_address) == (edge.ref.id, "192.0.2.9")


def test_f04_neither_holder_is_heard_on_any_channel(
    signed: SignedRequest, edge: Gateway
) -> None:
    authenticate(signed.but(sequence="5"))
    with pytest.raises(QuarantineError):
        authenticate(signed.but(sequence="4", created=signed.created + 1))
    seen_at = Gateway.objects.get(pk=edge.pk).seen_at
    for sequence in ("6", "4"):
        later = signed.but(sequence=sequence, created=signed.created + 2)
        for channel in ("acks", "snapshot"):
            with pytest.raises(QuarantineError):
                authenticate_gateway(received(later), channel=channel, now=NOW)
    assert Gateway.objects.get(pk=edge.pk).seen_at == seen_at
    assert codes().count("GW020A") == 1


def test_f04_a_holder_that_goes_on_asking_does_not_flood_the_log(
    signed: SignedRequest,
) -> None:
    authenticate(signed.but(sequence="5"))
    for _ in range(30):
        with pytest.raises(QuarantineError):
            authenticate(signed.but(sequence="4", created=signed.created + 1))
    assert codes().count("GW013W") == 10


def test_channels_and_gateways_count_by_themselves(signed: SignedRequest) -> None:
    authenticate(signed.but(sequence="5"))
    request = received(signed.but(path="/api/gateway/v1/evidence"))
    authenticate_gateway(request, channel="evidence", now=NOW)
    counters = GatewayChannel.objects.values_list("name", "sequence")
    assert set(counters) == {("acks", 5), ("evidence", 1)}


def test_a_gateway_acts_under_its_own_name(
    signed: SignedRequest, edge: Gateway
) -> None:
    actor = gateway_actor(edge, received(signed))
    assert (actor.kind, actor.id, actor.label) == ("gateway", edge.ref.id, "edge")
    assert (actor.address, actor.request_id) == ("192.0.2.9", STRANGER.request_id)


def test_being_seen_follows_the_clock_of_the_portal(
    signed: SignedRequest, edge: Gateway
) -> None:
    later = NOW + timedelta(seconds=30)
    authenticate_gateway(received(signed), channel="acks", now=later)
    edge.refresh_from_db()
    assert edge.seen_at == later


@pytest.mark.django_db(transaction=True)
def test_of_equal_requests_at_once_one_is_accepted(signed: SignedRequest) -> None:
    def attempt(_: int) -> bool:
        try:
            authenticate(signed)
        except ReplayError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(attempt, range(12))) == 1
    assert codes().count("GW013W") == 11
