"""The effect of a change is shown first, and confirmed as it was shown."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from audit.models import AuditEvent
from peers.models import Device
from policies.models import Application, Grant
from portal.accounts.models import Group, User
from tests.conftest import SignIn
from tests.policies.makers import make_grant
from tests.portal.console.confirming import confirm, shown

pytestmark = pytest.mark.django_db
ADD = "/manage/grants/add/"
BRAKED = "I mean it."


@pytest.fixture
def browser(dave: User, sign_in: SignIn) -> Client:
    return sign_in(dave)


@pytest.fixture
def end(alices_grant: Grant, laptop: Device) -> str:
    """Return the page that ends what alice reaches with her laptop."""
    assert laptop.owner == alices_grant.user
    return reverse("console:end_grant", args=(alices_grant.pk,))


def granting(wiki: Application, **changed: object) -> dict[str, Any]:
    return {"person": "", "group": "", "application": wiki.pk, **changed}


def events(code: str) -> list[str]:
    rows = AuditEvent.objects.filter(code=code).order_by("pk")
    return [*rows.values_list("outcome", flat=True)]


def test_nothing_is_granted_before_the_effect_was_confirmed(
    wiki: Application, laptop: Device, browser: Client
) -> None:
    page = browser.post(ADD, granting(wiki, person="Alice")).content.decode()
    for expected in ("Alice", "gains", "wiki", "10.1.0.0/24 tcp/443"):
        assert expected in page
    assert not Grant.objects.exists()
    confirm(browser, ADD, granting(wiki, person="Alice"))
    assert Grant.objects.get().user == laptop.owner


def test_a_change_without_effect_says_so(wiki: Application, browser: Client) -> None:
    page = browser.post(ADD, granting(wiki, person="Dave")).content.decode()
    assert "changes nothing for anybody" in page


def test_what_was_typed_goes_on_and_comes_back(
    wiki: Application, laptop: Device, browser: Client
) -> None:
    data = granting(wiki, person="Alice", reason="on call <b>")
    page = browser.post(ADD, data).content.decode()
    assert 'name="reason" value="on call &lt;b&gt;"' in page
    again = browser.post(ADD, {**data, "again": ""}).content.decode()
    assert 'value="on call &lt;b&gt;"' in again
    assert 'name="effect"' not in again


def test_an_effect_that_changed_meanwhile_is_shown_instead(
    wiki: Application, laptop: Device, browser: Client
) -> None:
    data = granting(wiki, person="Alice")
    digest = shown(browser.post(ADD, data))
    make_grant(wiki, group=Group.objects.get(users=laptop.owner))
    answer = browser.post(ADD, {**data, "effect": digest})
    assert "Meanwhile something else changed" in answer.content.decode()
    assert Grant.objects.count() == 1


def test_a_large_share_is_confirmed_twice(end: str, browser: Client) -> None:
    page = browser.get(end).content.decode()
    assert BRAKED in page
    assert "from 1 of 1 people with access, more than 20&nbsp;%" in page
    answer = confirm(browser, end)
    assert "Tick the box" in answer.content.decode()
    assert Grant.objects.get().ended_at is None
    confirm(browser, end, confirmed="on")
    assert Grant.objects.get().ended_at is not None
    assert events("PL025") == ["W", "I"]


def test_below_the_brake_once_is_enough(
    end: str, browser: Client, settings: Settings
) -> None:
    settings.PEERAGE_POLICY_BRAKE_PERCENT = 100
    assert BRAKED not in browser.get(end).content.decode()
    confirm(browser, end)
    assert Grant.objects.get().ended_at is not None
    assert events("PL025") == []


def test_a_tick_does_not_stand_for_another_effect(end: str, browser: Client) -> None:
    answer = browser.post(end, {"effect": "0" * 64, "confirmed": "on"})
    assert "Meanwhile" in answer.content.decode()
    assert Grant.objects.get().ended_at is None


def test_a_refusal_is_told_beside_the_form_once(
    wiki: Application, laptop: Device, browser: Client
) -> None:
    data = granting(wiki, person="Alice", expires_at="2020-01-01T00:00")
    assert "is past" in browser.post(ADD, data).content.decode()
    assert events("PL004") == ["W"]


def test_looking_at_an_effect_leaves_no_event(end: str, browser: Client) -> None:
    before = AuditEvent.objects.count()
    browser.get(end)
    assert AuditEvent.objects.count() == before


def test_what_is_not_lost_at_this_moment_is_confirmed_twice(
    alices_grant: Grant, laptop: Device, browser: Client, end: str
) -> None:
    Grant.objects.update(needs_approved_device=True)
    page = browser.get(end).content.decode()
    assert "changes nothing for anybody now" in page
    assert "from 1 of 1 people with access" in page
    assert "though not at this moment" in page
    confirm(browser, end)
    assert Grant.objects.get().ended_at is None
    confirm(browser, end, confirmed="on")
    assert Grant.objects.get().ended_at is not None
