"""Gateways: their generations, the token that is shown once, their retirement."""

from __future__ import annotations

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from audit.events import EventCode, Outcome
from audit.models import AuditEvent
from peers.models import Gateway, GatewayEnrolmentToken, GatewayState
from policies.models import Acknowledgement, Application, Publication
from policies.models.snapshots import UPGRADE
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.peers.makers import NOW, Agent, make_gateway
from tests.policies.makers import publish
from tests.portal.console.confirming import confirm

pytestmark = pytest.mark.django_db
ADD = "/manage/gateways/add/"
BERLIN = {
    "name": "berlin",
    "endpoint_host": "berlin.example.test",
    "endpoint_port": "51820",
}


def token_in(page: str) -> str:
    return page.partition("--token ")[2].partition("<")[0].strip()


def test_a_new_gateway_gets_a_token_that_enrols_it(dave: User, sign_in: SignIn) -> None:
    response = sign_in(dave).post(ADD, BERLIN)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    page = response.content.decode()
    assert "--portal http://testserver" in page
    gateway = GatewayEnrolmentToken.objects.get().gateway
    enrolled = Agent().enroll(token_in(page), now=gateway.created_at)
    assert enrolled == gateway
    assert AuditEvent.objects.filter(code=EventCode.GATEWAY_TOKEN_ISSUED).exists()


def test_the_token_is_not_shown_again(dave: User, sign_in: SignIn) -> None:
    browser = sign_in(dave)
    token = token_in(browser.post(ADD, BERLIN).content.decode())
    gateway = Gateway.objects.get()
    assert token not in browser.get(f"/manage/gateways/{gateway.pk}/").content.decode()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"endpoint_host": "10.0.0.256"}, "looks like an IP address"),
        ({"endpoint_host": "a b"}, "neither an IP address nor a host name"),
        ({"endpoint_port": "0"}, "greater than or equal to 1"),
        ({"endpoint_port": "65536"}, "less than or equal to 65535"),
        ({"name": "gw1"}, "another gateway has this name"),
        ({"name": "a\u200bb"}, "U+200B"),
        ({"name": "a\nb"}, "U+000A"),
        ({"name": "a\x00b"}, "Null characters"),
    ],
)
def test_a_wrong_gateway_is_refused(
    changed: dict[str, str], says: str, gw1: Gateway, dave: User, sign_in: SignIn
) -> None:
    page = sign_in(dave).post(ADD, {**BERLIN, **changed}).content.decode()
    assert says in page
    assert list(Gateway.objects.all()) == [gw1]
    event = AuditEvent.objects.get(outcome=Outcome.REFUSED)
    assert event.code == EventCode.GATEWAY_CREATE
    assert says in event.reason


def test_another_token_ends_the_one_before(dave: User, sign_in: SignIn) -> None:
    gateway = make_gateway()
    url = reverse("console:issue_token", args=(gateway.pk,))
    browser = sign_in(dave)
    first = token_in(browser.post(url).content.decode())
    second = token_in(browser.post(url).content.decode())
    assert first != second
    assert browser.get(url).status_code == 405


def test_an_enrolled_gateway_gets_no_token(
    gw1: Gateway, dave: User, sign_in: SignIn
) -> None:
    url = reverse("console:issue_token", args=(gw1.pk,))
    response = sign_in(dave).post(url, follow=True)
    assert "gw1 is enrolled" in response.content.decode()
    assert not GatewayEnrolmentToken.objects.exists()


def test_the_list_shows_what_is_published_and_not_yet_in_force(
    gw1: Gateway, wiki: Application, carol: User, sign_in: SignIn
) -> None:
    publish()
    generation = Publication.objects.get().generation
    page = sign_in(carol).get("/manage/gateways/").content.decode()
    assert f'<td data-label="Published" class="number">{generation}</td>' in page
    assert '<span class="text-red">none</span>' in page


def test_a_policy_that_does_not_compile_is_said_in_red(
    gw1: Gateway, wiki: Application, carol: User, sign_in: SignIn
) -> None:
    publish()
    Publication.objects.update(failure="two devices have one address")
    page = sign_in(carol).get(f"/manage/gateways/{gw1.pk}/").content.decode()
    assert "does not compile" in page
    assert "two devices have one address" in page


def test_the_list_costs_the_same_for_many(
    gw1: Gateway,
    carol: User,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(5):
        make_gateway(f"gateway{number}")
    browser = sign_in(carol)
    with django_assert_num_queries(8):
        browser.get("/manage/gateways/")


def test_a_gateway_is_renamed(gw1: Gateway, dave: User, sign_in: SignIn) -> None:
    url = reverse("console:edit_gateway", args=(gw1.pk,))
    browser = sign_in(dave)
    assert 'value="gw1.example.test"' in browser.get(url).content.decode()
    assert browser.post(url, BERLIN)["Location"] == f"/manage/gateways/{gw1.pk}/"
    gw1.refresh_from_db()
    assert gw1.name == "berlin"


def test_retiring_asks_first_and_names_what_is_lost(
    gw1: Gateway, wiki: Application, dave: User, sign_in: SignIn
) -> None:
    url = reverse("console:retire_gateway", args=(gw1.pk,))
    browser = sign_in(dave)
    assert "<li>wiki</li>" in browser.get(url).content.decode()
    gw1.refresh_from_db()
    assert gw1.state == GatewayState.ENROLLED
    confirm(browser, url)
    gw1.refresh_from_db()
    assert gw1.state == GatewayState.RETIRED
    assert AuditEvent.objects.filter(code=EventCode.GATEWAY_RETIRE).exists()


def test_f04_quarantine_is_said_in_red_with_what_to_do(
    gw1: Gateway, carol: User, dave: User, sign_in: SignIn
) -> None:
    Gateway.objects.update(quarantined_at=NOW)
    page = sign_in(carol).get(f"/manage/gateways/{gw1.pk}/").content.decode()
    assert "two hold the key of this gateway" in page
    assert "12:15" in page
    assert f"?code=GW020&amp;gateway=gw_{gw1.pk}" in page
    assert "/release/" not in page
    page = sign_in(dave).get(f"/manage/gateways/{gw1.pk}/").content.decode()
    assert "/release/" in page
    assert "in quarantine" in sign_in(carol).get("/manage/gateways/").content.decode()


def test_releasing_needs_a_reason_and_is_an_event(
    gw1: Gateway, dave: User, sign_in: SignIn
) -> None:
    Gateway.objects.update(quarantined_at=NOW)
    url = reverse("console:release_gateway", args=(gw1.pk,))
    browser = sign_in(dave)
    assert "Release the gateway" in browser.get(url).content.decode()
    browser.post(url, {"reason": ""})
    assert Gateway.objects.get().quarantined_at == NOW
    browser.post(url, {"reason": "the copy was deleted"})
    assert Gateway.objects.get().quarantined_at is None
    event = AuditEvent.objects.get(code=EventCode.GATEWAY_RELEASE)
    assert (event.reason, event.actor_id) == ("the copy was deleted", dave.ref.id)


def test_releasing_what_is_free_says_so(
    gw1: Gateway, dave: User, sign_in: SignIn
) -> None:
    url = reverse("console:release_gateway", args=(gw1.pk,))
    page = sign_in(dave).get(url, follow=True).content.decode()
    assert "gw1 is not in quarantine" in page


def test_an_agent_that_is_too_old_is_shown_in_red(
    gw1: Gateway, carol: User, sign_in: SignIn
) -> None:
    Acknowledgement.objects.create(
        gateway=gw1,
        epoch=1,
        generation=1,
        received_at=NOW,
        recorded_at=NOW,
        in_force=False,
        error=f"{UPGRADE}: the policy is of version 3, which this one cannot read",
    )
    browser = sign_in(carol)
    assert "upgrade the agent" in browser.get("/manage/gateways/").content.decode()
    page = browser.get(f"/manage/gateways/{gw1.pk}/").content.decode()
    assert "too old to read its policy" in page
