"""Who may open a page."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import path

from audit.http import PortalRequest
from audit.models import AuditEvent
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
    signed_in,
)
from portal.accounts.models import User
from portal.urls import urlpatterns as portal_patterns
from tests.conftest import SignIn

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.portal.accounts.test_access"),
]


def page(request: PortalRequest) -> HttpResponseBase:
    return HttpResponse(str(person(request)))


urlpatterns = [
    path("t/open/", signed_in(page)),
    path("t/read/", reader_required(page)),
    path("t/manage/", administrator_required(page)),
    path("t/fresh/", administrator_required(recent_authentication_required()(page))),
    path("t/bare/", page),
    *portal_patterns,
]


@pytest.mark.parametrize("url", ["/t/open/", "/t/read/", "/t/manage/", "/t/fresh/"])
def test_anonymous_goes_to_sign_in_and_comes_back(client: Client, url: str) -> None:
    response = client.get(url)
    assert response["Location"] == f"/accounts/login/?next={url}"
    assert AuditEvent.objects.count() == 0


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("alice", "open"),
        ("carol", "open read"),
        ("dave", "open read manage fresh"),
        ("mallory", "open"),
    ],
)
def test_role_decides_what_opens(
    request: pytest.FixtureRequest, sign_in: SignIn, name: str, opened: str
) -> None:
    browser = sign_in(request.getfixturevalue(name))
    for room in ("open", "read", "manage", "fresh"):
        expected = 200 if room in opened.split() else 403
        assert browser.get(f"/t/{room}/").status_code == expected, room


def test_refusal_is_recorded(mallory: User, sign_in: SignIn) -> None:
    sign_in(mallory).post("/t/manage/")
    event = AuditEvent.objects.get()
    assert (event.code, event.outcome, event.person_id) == (
        "ID015",
        "W",
        mallory.ref.id,
    )
    assert event.target_label == "/t/manage/"
    assert event.details == {"method": "POST"}


@pytest.mark.parametrize("method", ["get", "post"])
def test_stale_proof_goes_back_to_the_provider(
    dave: User, sign_in: SignIn, method: str
) -> None:
    browser = sign_in(dave, age=timedelta(hours=1))
    response = getattr(browser, method)("/t/fresh/")
    assert response["Location"] == f"/accounts/confirm/?next={quote('/t/fresh/', '')}"


def test_session_without_a_proof_is_stale(dave: User) -> None:
    browser = Client()
    browser.force_login(dave)
    assert browser.get("/t/fresh/").status_code == 302


def test_fragment_sends_the_whole_page_away(client: Client) -> None:
    response = client.get("/t/open/", headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert response["HX-Redirect"] == "/accounts/login/?next=/t/open/"


def test_confirm_page_asks_for_a_fresh_proof(dave: User, sign_in: SignIn) -> None:
    page = sign_in(dave).get("/accounts/confirm/?next=/t/fresh/").content.decode()
    assert 'name="fresh"' in page
    assert "/t/fresh/" in page


def test_page_without_a_guard_still_finds_nobody(client: Client) -> None:
    assert client.get("/t/bare/").status_code == 403


def test_admin_sends_administrators_in_and_others_away(
    dave: User, mallory: User, sign_in: SignIn
) -> None:
    assert sign_in(dave).get("/admin/").status_code == 200
    refused = sign_in(mallory).get("/admin/", follow=True)
    assert refused.status_code == 403


def test_admin_has_no_password_form(client: Client) -> None:
    response = client.get("/admin/", follow=True)
    assert response.redirect_chain[-1][0] == "/accounts/login/?next=/admin/"
    assert "password" not in response.content.decode().lower()
    assert client.post("/admin/login/", {"username": "a"}).status_code == 405
