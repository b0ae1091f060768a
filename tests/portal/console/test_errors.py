"""Pages that say no wear the same coat and leak nothing."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string
from django.test import Client
from pytest_django import Settings

from portal.accounts.models import User
from tests.conftest import SignIn

pytestmark = pytest.mark.django_db


def test_an_unknown_address_is_answered_in_our_coat(client: Client) -> None:
    response = client.get("/nothing/<b>here</b>/")
    assert response.status_code == 404
    assert b"There is nothing here" in response.content
    assert b"<b>here" not in response.content


def test_a_refusal_says_that_it_was_recorded(mallory: User, sign_in: SignIn) -> None:
    response = sign_in(mallory).get("/manage/users/")
    assert response.status_code == 403
    assert b"has been recorded" in response.content


def test_a_form_without_our_token_is_told_so(alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    response = browser.post("/accounts/logout/")
    assert response.status_code == 403
    assert b"This form was not ours" in response.content


def test_the_page_for_a_broken_portal_needs_no_context() -> None:
    assert "Something broke on our side" in render_to_string("500.html")


def test_every_page_has_the_strict_policy(client: Client) -> None:
    policy = client.get("/accounts/login/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_sign_in_page_has_one_button_with_the_providers_name(
    client: Client, settings: Settings
) -> None:
    settings.PEERAGE_OIDC_NAME = "Example ID"
    page = client.get("/accounts/login/?next=/access/").content.decode()
    assert "Sign in with Example ID" in page
    assert page.count('class="btn btn-primary') == 1
    assert 'value="/access/"' in page


def test_sessions_are_listed_in_our_coat(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice).get("/accounts/sessions/").content.decode()
    assert "My sessions" in page
