"""Revoking many people: shown first, done when the number is typed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from peers.models import Device, Gateway
from policies.models import Revocation
from portal.accounts.models import User
from tests.conftest import SignIn

pytestmark = pytest.mark.django_db
URL = "/manage/users/revoke/"


def sent(alice: User, **changed: str) -> dict[str, str]:
    return {"people": f"{alice.email}\nbob", "reason": "stolen", **changed}


def test_what_ends_is_shown_and_nothing_is_done(
    alice: User, bob: User, laptop: Device, dave: User, sign_in: SignIn
) -> None:
    page = sign_in(dave).post(URL, sent(alice)).content.decode()
    for expected in ("2 people", "1 device,", "0 open connections", alice.email):
        assert expected in page
    assert not Revocation.objects.exists()


def test_the_typed_number_revokes_them_all(
    alice: User, bob: User, laptop: Device, dave: User, gw1: Gateway, sign_in: SignIn
) -> None:
    response = sign_in(dave).post(URL, sent(alice, count="2"))
    assert response["Location"] == "/manage/revocations/"
    assert {row.user for row in Revocation.objects.all()} == {alice, bob}
    laptop.refresh_from_db()
    assert not laptop.is_active


@pytest.mark.parametrize("count", ["1", "3", "0", "", "x"])
def test_another_number_revokes_nobody(
    count: str, alice: User, bob: User, dave: User, sign_in: SignIn
) -> None:
    page = sign_in(dave).post(URL, sent(alice, count=count))
    assert page.status_code == 200
    assert not Revocation.objects.exists()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"people": "nobody@example.test", "count": "1"}, "nobody@example.test"),
        ({"people": "# remark", "count": "0"}, "name nobody"),
        ({"people": "", "count": "0"}, "This field is required"),
        ({"reason": "", "count": "2"}, "This field is required"),
    ],
    ids=["unknown", "remark", "nobody", "no reason"],
)
def test_what_is_incomplete_revokes_nobody(
    changed: dict[str, str],
    told: str,
    alice: User,
    bob: User,
    dave: User,
    sign_in: SignIn,
) -> None:
    page = sign_in(dave).post(URL, sent(alice, **changed))
    assert told in page.content.decode()
    assert not Revocation.objects.exists()


@pytest.mark.parametrize("who", ["carol", "mallory"])
def test_others_may_not(
    who: str, alice: User, bob: User, sign_in: SignIn, request: pytest.FixtureRequest
) -> None:
    browser = sign_in(request.getfixturevalue(who))
    assert browser.post(URL, sent(alice, count="2")).status_code == 403
    assert not Revocation.objects.exists()


def test_a_stale_sign_in_or_none_may_not(
    alice: User, bob: User, dave: User, sign_in: SignIn
) -> None:
    stale = sign_in(dave, age=timedelta(days=1))
    for browser in (stale, Client()):
        assert browser.post(URL, sent(alice, count="2")).status_code == 302
    assert not Revocation.objects.exists()


def test_only_administrators_see_the_way(
    dave: User, carol: User, sign_in: SignIn
) -> None:
    assert URL in sign_in(dave).get("/manage/users/").content.decode()
    assert URL not in sign_in(carol).get("/manage/users/").content.decode()
