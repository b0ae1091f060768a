"""Where a sign-in may lead back to (attack A15)."""

from __future__ import annotations

import pytest
from django.test import Client

from portal.accounts.models import User
from portal.accounts.redirects import is_safe_path, safe_path
from tests.conftest import SignIn

EVIL = [
    "https://testserver.evil.test/",
    "https://testserver/accounts/sessions/",
    "//evil.test",
    "///evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "/\\/evil.test",
    "https:evil.test",
    "javascript:alert(1)",
    "/accounts/sessions/\r\nSet-Cookie: a=b",
    "/\t/evil.test",
    " //evil.test",
    "accounts/sessions/",
    "/no/such/page/",
    "//evil.test/accounts/sessions/",
    "",
    None,
]


@pytest.mark.parametrize("url", EVIL)
def test_everything_but_a_page_of_ours_is_refused(url: str | None) -> None:
    assert not is_safe_path(url)
    assert safe_path(url) == "/"


@pytest.mark.parametrize("url", ["/accounts/sessions/", "/accounts/login/?next=x"])
def test_page_of_ours_is_accepted(url: str) -> None:
    assert safe_path(url) == url


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["https://evil.test/", "//evil.test", "/\\evil.test"])
def test_sign_in_page_never_leads_away(url: str, alice: User, sign_in: SignIn) -> None:
    response = sign_in(alice).get("/accounts/login/", {"next": url})
    assert response["Location"] == "/"
    page = Client().get("/accounts/login/", {"next": url}).content.decode()
    assert "evil.test" not in page
