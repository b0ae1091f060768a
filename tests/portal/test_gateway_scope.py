"""F02: the key of a gateway opens its own channels, and nothing else in the portal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from audit.models import FlowEvent
from peers.models import Gateway
from tests.peers.makers import codes
from tests.policies.api.agents import SigningAgent
from tests.policies.makers import opened

pytestmark = pytest.mark.django_db(transaction=True)
OWN: Final = "api/gateway/v1/"
VALUES: Final = {
    "int": "1",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "slug": "x",
    "str": "x",
    "path": "x",
}
CONVERTER: Final = re.compile(r"<(?:(\w+):)?\w+>")
GROUP: Final = re.compile(r"\(\?P<\w+>[^()]*(?:\([^()]*\)[^()]*)*\)")
TELLING: Final = ("Content-Type", "Location")


def addresses() -> list[str]:
    """Return an address for every page and endpoint there is."""
    return sorted({_address(text) for text in _patterns(get_resolver(), "")})


def _patterns(resolver: URLResolver, before: str) -> Iterator[str]:
    for entry in resolver.url_patterns:
        here = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield here
        else:
            yield from _patterns(entry, here)


def _address(pattern: str) -> str:
    text = CONVERTER.sub(lambda m: VALUES.get(m[1] or "str", "x"), pattern)
    text = GROUP.sub("1", text)
    return re.sub(r"[\^$\\]|\(\?:.*?\)\??", "", text)


def answered(client: Client, method: str, address: str, **headers: str) -> Any:  # noqa: ANN401 -- the client's answers are untyped
    """Ask, and return what tells whether more was given."""
    call = getattr(client, method)
    extra = (
        {"content_type": "application/json", "data": b"{}"} if method == "post" else {}
    )
    answer = call(f"/{address}", headers=headers, **extra)
    return answer.status_code, [answer.headers.get(name) for name in TELLING]


@pytest.fixture
def agent(gw1: Gateway) -> SigningAgent:
    """The agent of gw1."""
    return SigningAgent(gw1)


def test_f02_every_page_is_tried() -> None:
    tried = addresses()
    assert len(tried) > 150
    for known in ("manage/gateways/", "api/v1/devices/", "admin/login/", "healthz"):
        assert known in tried


@pytest.mark.parametrize("method", ["get", "post"])
def test_f02_a_gateways_signature_gives_no_more_than_a_strangers(
    agent: SigningAgent, method: str
) -> None:
    others = [address for address in addresses() if not address.startswith(OWN)]
    before = set(codes())
    for address in others:
        signed = agent.headers_for(method.upper(), f"http://testserver/{address}")
        assert answered(Client(), method, address, **signed) == answered(
            Client(), method, address
        ), address
    # It does not even count as the gateway's: nothing is done in its name.
    assert not {code[:5] for code in set(codes()) - before} & {"GW001", "GW004"}


def test_f02_its_own_channel_is_open_to_it(agent: SigningAgent) -> None:
    """The control: the same signature counts where it should."""
    assert agent.post("evidence", {"records": []}).status_code in {200, 503}
    assert agent.post("acks", {}).status_code == 422


def test_f02_a_signature_for_one_channel_opens_no_other(agent: SigningAgent) -> None:
    headers = agent.headers("POST", "acks", b"{}")
    for channel in ("evidence", "names", "notices", "revoked", "key"):
        answer = Client().post(
            f"/{OWN}{channel}", b"{}", content_type="application/json", headers=headers
        )
        assert answer.status_code in {401, 404, 405, 422}, channel
        if answer.status_code == 422:
            # Refused before anybody asked who it is from.
            assert channel == "key"


@pytest.fixture
def other(gw1: Gateway) -> Gateway:
    """Another enrolled gateway, with another key."""
    made = Gateway.objects.get(pk=gw1.pk)
    made.pk, made.name = None, "gw2"
    made.public_key = "B" * 42 + "A="
    made.signing_key = b"2" * 32
    made.save(force_insert=True)
    return made


def test_f15_evidence_in_another_gateways_name_is_refused(
    agent: SigningAgent, other: Gateway
) -> None:
    own = agent.gateway
    agent.gateway = other
    answer = agent.post("evidence", {"records": [opened(1)]})
    assert answer.status_code == 401
    assert not FlowEvent.objects.exists()
    agent.gateway = own


@pytest.mark.usefixtures("signing_key")
def test_f15_evidence_stands_under_who_signed_it_whatever_it_says(
    agent: SigningAgent, other: Gateway
) -> None:
    record = {**opened(1), "gateway": other.ref.id, "gateway_id": other.ref.id}
    batch = {"records": [opened(2)], "gateway": other.ref.id}
    assert agent.post("evidence", batch).status_code == 422
    assert agent.post("evidence", {"records": [record, opened(2)]}).status_code == 200
    stored = set(FlowEvent.objects.values_list("gateway_id", flat=True))
    assert stored == {agent.gateway.ref.id}
