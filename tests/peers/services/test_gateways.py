"""Gateways: a token serves once, keys are new and strong, retiring is final."""

from __future__ import annotations

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from pytest_django import Settings

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers import services
from peers.errors import (
    EnrolmentTokenError,
    GatewayStateError,
    InvalidEndpointError,
    InvalidKeyError,
    InvalidNameError,
    KeySeenError,
    PeerError,
    PossessionError,
)
from peers.models import Gateway, GatewayEnrolmentToken, GatewayState
from peers.signals import peers_changed
from portal.accounts.models import User
from tests.peers.makers import NOW, Agent, Machine, codes, make_gateway

pytestmark = pytest.mark.django_db

LOW_ORDER = base64.b64encode(bytes(32)).decode()


def issue(gateway: Gateway) -> str:
    """Issue a token."""
    return services.issue_enrolment_token(gateway=gateway, actor=SYSTEM, now=NOW)


def assert_still_pending(token: str) -> None:
    """One refusal was recorded; the token still serves."""
    assert codes() == ["GW009I", "GW010I", "GW001W"]
    gateway = Gateway.objects.get()
    assert AuditEvent.objects.latest("id").gateway_id == gateway.ref.id
    assert (gateway.state, gateway.public_key) == (GatewayState.PENDING, None)
    assert Agent().enroll(token).state == GatewayState.ENROLLED


def test_a_described_gateway_waits_for_its_agent() -> None:
    gateway = make_gateway("edge")
    assert gateway.state == GatewayState.PENDING
    assert codes() == ["GW009I"]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        pytest.param({"name": "a\nb"}, InvalidNameError, id="line feed in name"),
        pytest.param({"name": "edge"}, InvalidNameError, id="taken name"),
        pytest.param({"endpoint_host": "x\ny"}, InvalidEndpointError, id="host"),
        pytest.param({"endpoint_port": 0}, InvalidEndpointError, id="port 0"),
    ],
)
@pytest.mark.parametrize("is_new", [True, False], ids=["create", "update"])
def test_a_bad_description_is_refused_with_one_event(
    changed: dict[str, str | int], error: type[PeerError], *, is_new: bool
) -> None:
    make_gateway("edge")
    gateway = make_gateway("other")
    facts = {"name": "third", "endpoint_host": "h.example", "endpoint_port": 1}
    facts |= {"actor": SYSTEM, "now": NOW, **changed}
    update = partial(services.update_gateway, gateway=gateway)
    describe: Callable[..., Gateway] = services.create_gateway if is_new else update
    with pytest.raises(error):
        describe(**facts)
    assert codes()[2:] == ["GW009W" if is_new else "GW012W"]
    names = Gateway.objects.values_list("name", "endpoint_port")
    assert list(names) == [("edge", 51820), ("other", 51820)]


def test_a_changed_endpoint_is_stored_and_told() -> None:
    gateway = make_gateway()
    services.update_gateway(
        gateway=gateway,
        name="edge 2",
        endpoint_host="192.0.2.1",
        endpoint_port=4242,
        actor=SYSTEM,
        now=NOW,
    )
    assert (gateway.name, gateway.endpoint_host) == ("edge 2", "192.0.2.1")
    assert codes()[-1] == "GW012I"


def test_a_token_enrols_its_gateway() -> None:
    gateway, agent = make_gateway(), Agent()
    enrolled = agent.enroll(issue(gateway))
    assert enrolled == gateway
    gateway.refresh_from_db()
    assert gateway.state == GatewayState.ENROLLED
    assert gateway.public_key == agent.wireguard_key
    assert bytes(gateway.signing_key or b"") == base64.b64decode(agent.signing_key)
    assert codes() == ["GW009I", "GW010I", "GW001I"]


def test_enrolment_tells_the_layers_above() -> None:
    heard: list[frozenset[int]] = []

    def hear(gateway_ids: frozenset[int], **_: object) -> None:
        heard.append(gateway_ids)

    gateway = make_gateway()
    peers_changed.connect(hear)
    try:
        Agent().enroll(issue(gateway))
        services.retire_gateway(gateway=gateway, actor=SYSTEM, now=NOW)
    finally:
        peers_changed.disconnect(hear)
    assert heard == [frozenset({gateway.pk})] * 2


def test_only_the_hash_of_a_token_is_kept() -> None:
    token = issue(make_gateway())
    assert len(token) >= 43
    stored = GatewayEnrolmentToken.objects.get()
    assert token not in str(vars(stored))
    assert token not in str(list(AuditEvent.objects.values()))


def test_a_token_is_never_taken_for_an_option() -> None:
    # As the command of the gateway's page has it, behind a space.
    assert issue(make_gateway("edge")).startswith("peerage_gw_")


def test_a_token_serves_once() -> None:
    token = issue(make_gateway())
    agent = Agent()
    agent.enroll(token)
    with pytest.raises(EnrolmentTokenError, match="used"):
        Agent().enroll(token)
    assert codes()[3:] == ["GW001W"]
    assert Gateway.objects.get().public_key == agent.wireguard_key


def test_an_expired_token_is_refused(settings: Settings) -> None:
    settings.PEERAGE_ENROLMENT_TOKEN_SECONDS = 60
    token = issue(make_gateway())
    with pytest.raises(EnrolmentTokenError, match="expired"):
        Agent().enroll(token, now=NOW + timedelta(seconds=60))
    assert_still_pending(token)


@pytest.mark.parametrize("change", [str.lower, lambda token: token[:-1], lambda _: ""])
def test_an_unknown_token_is_refused(change: Callable[[str], str]) -> None:
    token = issue(make_gateway())
    with pytest.raises(EnrolmentTokenError, match="unknown"):
        Agent().enroll(change(token))
    assert codes()[2:] == ["GW001W"]
    assert AuditEvent.objects.latest("id").gateway_id == ""
    assert Gateway.objects.get().state == GatewayState.PENDING


def test_a_new_token_ends_the_earlier_one() -> None:
    gateway = make_gateway()
    first, second = issue(gateway), issue(gateway)
    with pytest.raises(EnrolmentTokenError):
        Agent().enroll(first)
    Agent().enroll(second)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        pytest.param({"wireguard_key": LOW_ORDER}, InvalidKeyError, id="low order"),
        pytest.param({"wireguard_key": "x"}, InvalidKeyError, id="not base64"),
        pytest.param({"signing_key": LOW_ORDER}, InvalidKeyError, id="small order"),
        pytest.param({"signing_key": "x"}, InvalidKeyError, id="signing base64"),
        pytest.param({"proof": "x"}, PossessionError, id="malformed proof"),
        pytest.param(
            {"signing_key": Agent().signing_key}, PossessionError, id="another signer"
        ),
        pytest.param({"agent_version": "1\n2"}, InvalidNameError, id="version"),
    ],
)
def test_a_bad_enrolment_is_refused_and_leaves_the_token(
    changed: dict[str, str], error: type[PeerError]
) -> None:
    token = issue(make_gateway())
    with pytest.raises(error):
        Agent().enroll(token, changed)
    assert_still_pending(token)


def test_a_proof_for_another_key_is_refused() -> None:
    token, agent = issue(make_gateway()), Agent()
    with pytest.raises(PossessionError):
        agent.enroll(
            token,
            {"wireguard_key": Machine().public_key, "proof": agent.proof(token)},
        )
    assert_still_pending(token)


@pytest.mark.usefixtures("pools")
def test_the_key_of_a_device_is_refused_also_when_revoked(alice: User) -> None:
    machine = Machine()
    device = machine.enroll(alice)
    services.revoke_device(device=device, reason="", actor=SYSTEM, now=NOW)
    token = issue(make_gateway())
    with pytest.raises(KeySeenError):
        Agent().enroll(token, {"wireguard_key": machine.public_key})
    assert codes()[-1] == "GW001W"
    assert Gateway.objects.get().state == GatewayState.PENDING


@pytest.mark.parametrize("name", ["wireguard_key", "signing_key"])
def test_the_key_of_another_gateway_is_refused_also_when_retired(name: str) -> None:
    first, agent, clone = make_gateway("first"), Agent(), Agent()
    agent.enroll(issue(first))
    services.retire_gateway(gateway=first, actor=SYSTEM, now=NOW)
    if name == "wireguard_key":
        clone.wireguard_key = agent.wireguard_key
    else:
        clone.signing, clone.signing_key = agent.signing, agent.signing_key
    with pytest.raises(KeySeenError):
        clone.enroll(issue(make_gateway("second")))
    assert Gateway.objects.get(name="second").state == GatewayState.PENDING


def test_an_enrolled_gateway_gets_no_other_token() -> None:
    gateway = make_gateway()
    Agent().enroll(issue(gateway))
    gateway.refresh_from_db()
    with pytest.raises(GatewayStateError, match="enrolled"):
        issue(gateway)
    assert codes()[-1] == "GW010W"


def test_retiring_is_final_and_frees_the_name() -> None:
    gateway = make_gateway("edge")
    token = issue(gateway)
    for _ in range(2):
        services.retire_gateway(gateway=gateway, actor=SYSTEM, now=NOW)
    assert codes()[2:] == ["GW011I"]
    with pytest.raises(EnrolmentTokenError):
        Agent().enroll(token)
    assert make_gateway("edge").state == GatewayState.PENDING


@pytest.mark.django_db(transaction=True)
def test_of_many_uses_of_a_token_at_once_one_succeeds() -> None:
    token = issue(make_gateway())

    def enroll(_: int) -> bool:
        try:
            Agent().enroll(token)
        except EnrolmentTokenError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(enroll, range(24))) == 1
    assert codes().count("GW001I") == 1
    assert codes().count("GW001W") == 23
