"""Request ids, moments, actors, addresses, headers and static files."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.utils.module_loading import import_string
from pytest_django import Settings

from audit.http import PortalRequest
from portal.accounts.models import User
from portal.middleware import IDS_AT_ONCE, RequestIds, client_address
from tests.conftest import SignIn

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedASGIResponse as Response

pytestmark = pytest.mark.urls("tests.portal.test_middleware")

Seen = list[PortalRequest]
SEEN: Seen = []


def page(request: PortalRequest) -> HttpResponse:
    SEEN.append(request)
    return HttpResponse("ok")


async def waiting(request: PortalRequest) -> HttpResponse:
    SEEN.append(request)
    await asyncio.sleep(0)
    return HttpResponse("ok")


urlpatterns = [path("t/", page), path("t/waiting/", waiting)]


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()


def test_anonymous_request_has_id_moment_and_actor(client: Client) -> None:
    response = client.get("/t/", REMOTE_ADDR="2001:db8::1")
    (request,) = SEEN
    assert response["X-Request-ID"] == request.request_id == request.actor.request_id
    assert (request.actor.kind, request.actor.address) == ("anonymous", "2001:db8::1")
    age = datetime.now(UTC) - request.received_at  # noqa: TID251 -- a test's edge
    assert timedelta(0) <= age < timedelta(seconds=30)


def test_request_id_of_the_client_is_ignored(client: Client) -> None:
    response = client.get("/t/", headers={"X-Request-ID": "forged"})
    assert response["X-Request-ID"] != "forged"


@pytest.mark.django_db
def test_actor_is_the_person_with_their_role(dave: User, sign_in: SignIn) -> None:
    sign_in(dave).get("/t/")
    actor = SEEN[0].actor
    assert (actor.kind, actor.id, actor.label, actor.role) == (
        "user",
        dave.ref.id,
        "Dave",
        "administrator",
    )


def test_request_without_a_cookie_costs_no_query(client: Client) -> None:
    # There is no database mark here: a query would fail the test.
    assert client.get("/t/").status_code == 200


def test_asynchronous_request_is_marked_too(async_client: AsyncClient) -> None:
    response = asyncio.run(_get(async_client, "/t/waiting/"))
    assert response["X-Request-ID"] == SEEN[0].request_id


async def _get(client: AsyncClient, url: str) -> Response:
    return await client.get(url)


@pytest.mark.parametrize("name", django_settings.MIDDLEWARE)
def test_no_middleware_costs_a_thread(name: str) -> None:
    assert import_string(name).async_capable


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "198.51.100.7", "192.0.2.1"),
        (1, "203.0.113.66, 198.51.100.7", "198.51.100.7"),
        (2, "203.0.113.66, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        (1, "", ""),
        (2, "198.51.100.7", ""),
        (1, "nonsense", ""),
    ],
)
def test_address_is_what_our_own_proxies_saw(
    settings: Settings, rf: RequestFactory, proxies: int, forwarded: str, address: str
) -> None:
    settings.PEERAGE_TRUSTED_PROXIES = proxies
    request: HttpRequest = rf.get(
        "/", REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": forwarded}
    )
    assert client_address(request) == address


def test_policy_allows_nothing_inline(client: Client) -> None:
    policy = client.get("/t/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert django_settings.PEERAGE_OIDC_ISSUER in policy


@pytest.mark.django_db
@pytest.mark.parametrize("asynchronous", [False, True], ids=["wsgi", "asgi"])
def test_static_files_are_served_by_both_servers(
    client: Client,
    async_client: AsyncClient,
    asynchronous: bool,
) -> None:
    url = "/static/admin/css/base.css"
    plain = None if asynchronous else client.get(url)
    response = plain or asyncio.run(_get(async_client, url))
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/css")
    body = b"".join(response) if response.streaming else response.content
    assert b"--primary" in body
    response.close()


def test_every_request_has_an_id_of_its_own() -> None:
    ids = RequestIds()
    made = [ids.next() for _ in range(2 * IDS_AT_ONCE + 1)]
    assert len({*made}) == len(made)
    assert {len(one) for one in made} == {32}
