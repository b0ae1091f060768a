"""Signing in at a real identity provider, in a real browser."""

from __future__ import annotations

import pytest

from audit.events import EventCode
from audit.models import AuditEvent
from portal.accounts.models import Role, User
from tests.browser.conftest import MakeWindow, Window

pytestmark = [pytest.mark.django_db(transaction=True)]


def sign_in(window: Window, username: str) -> None:
    """Go through the entrance and the provider's form."""
    window.page.click("text=Sign in with")
    window.page.fill("[name=username]", username)
    window.page.fill("[name=password]", f"{username}-demo")
    window.page.click("form button")
    window.page.wait_for_url(f"{window.base}/**")


@pytest.mark.usefixtures("single_sign_on")
def test_an_employee_signs_in_and_lands_where_they_wanted(window: MakeWindow) -> None:
    alice = window()
    alice.open("/access/")
    assert alice.path == "/accounts/login/?next=/access/"
    sign_in(alice, "alice")
    assert alice.path == "/access/"
    assert "Alice Archer" in alice.text
    assert alice.problems == []
    assert alice.violations == []
    assert AuditEvent.objects.filter(code=EventCode.USER_LOGIN).count() == 1


@pytest.mark.usefixtures("single_sign_on")
def test_an_administrator_sees_the_rooms_of_administrators(window: MakeWindow) -> None:
    dave = window()
    dave.open("/")
    sign_in(dave, "dave")
    assert dave.path == "/devices/"
    assert "Gateways" in dave.text
    assert User.objects.get(subject="dave").role == Role.ADMINISTRATOR
    assert "Peerage" in dave.open("/admin/")
    assert dave.problems == []


@pytest.mark.usefixtures("single_sign_on")
def test_signing_out_ends_the_session(window: MakeWindow) -> None:
    alice = window()
    alice.open("/")
    sign_in(alice, "alice")
    alice.page.click("text=Sign out")
    alice.page.wait_for_url("**/accounts/login/**")
    alice.open("/devices/")
    assert alice.path == "/accounts/login/?next=/devices/"
    assert alice.problems == []
