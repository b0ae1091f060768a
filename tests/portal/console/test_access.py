"""My access: what I can reach, through which grant, until when."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from policies.models import Application, Grant
from portal.accounts.models import Group, User
from tests.conftest import SignIn
from tests.policies.makers import make_grant

pytestmark = pytest.mark.django_db


def test_a_grant_by_name_shows_destinations_and_no_end(
    alice: User, alices_grant: Grant, sign_in: SignIn
) -> None:
    page = sign_in(alice).get("/access/").content.decode()
    for expected in ("wiki", "10.1.0.0/24 tcp/443", "granted by name", "no end"):
        assert expected in page


def test_a_grant_of_a_group_names_the_group_and_its_end(
    bob: User, wiki: Application, clock: datetime, sign_in: SignIn
) -> None:
    ends = clock + timedelta(days=3)
    make_grant(wiki, group=Group.objects.get(users=bob), expires_at=ends)
    page = sign_in(bob).get("/access/").content.decode()
    assert "member of" in page
    assert "engineering" in page
    assert f"{ends:%Y-%m-%d %H:%M}" in page


def test_without_a_grant_the_page_says_whom_to_ask(
    mallory: User, wiki: Application, sign_in: SignIn
) -> None:
    page = sign_in(mallory).get("/access/").content.decode()
    assert "Ask for the application you need" in page
    assert "wiki" not in page


def test_an_application_without_a_gateway_is_said_to_be_out_of_reach(
    alice: User, alices_grant: Grant, wiki: Application, sign_in: SignIn
) -> None:
    wiki.gateways.clear()
    page = sign_in(alice).get("/access/").content.decode()
    assert "No gateway serves it" in page


def test_the_page_costs_the_same_for_many_grants(
    alice: User,
    wiki: Application,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(5):
        make_grant(wiki, user=alice)
    browser = sign_in(alice)
    with django_assert_num_queries(7):
        browser.get("/access/")
