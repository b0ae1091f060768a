"""Dates from outside: whatever is no sensible time is refused, and nothing changes.

Attack C12: past, ten years ahead, a gap of summer time, a leap second, 2^63. Pages
take UTC, so no time of theirs falls into a gap; what has an offset is that moment.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import pytest
from django.core.management import CommandError, call_command

from policies.models import Application, Grant, Lock
from portal.accounts.models import User
from tests.conftest import SignIn
from tests.peers.api.calls import post

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

NO_TIMES: Final = {
    "2^63": str(2**63),
    "2^63 seconds": f"{2**63}Z",
    "a number too large": "1e400",
    "negative": "-1",
    "not a number": "NaN",
    "leap second": "2026-06-30T23:59:60Z",
    "no such day": "2027-02-30T00:00:00Z",
    "no such month": "2027-13-01T00:00:00Z",
    "hour 25": "2027-01-01T25:00:00Z",
    "year 0": "0000-01-01T00:00:00Z",
    "year 10000": "10000-01-01T00:00:00Z",
    "before all times": "0001-01-01T00:00:00+23:59",
    "after all times": "9999-12-31T23:59:59-23:59",
    "a zone by name, in its gap": "2027-03-28T02:30:00[Europe/Berlin]",
    "an offset of two days": "2027-01-01T00:00:00+48:00",
    "digits of another script": "\uff12\uff10\uff12\uff17-01-01T00:00:00Z",
    "a line feed": "2027-01-01T00:00:00Z\nexpires",
    "NUL": "2027-01-01T00:00:00Z\x00",
}
UNREASONABLE: Final = {
    "past": timedelta(days=-1),
    "a second ago": timedelta(seconds=-1),
    "over ten years ahead": timedelta(days=3654),
    "a century ahead": timedelta(days=36525),
}


@pytest.fixture
def clock() -> datetime:
    """Return the time: pages are asked now, whatever the cast's clock says."""
    return datetime.now(UTC)  # noqa: TID251 -- a test's edge


def granting(wiki: Application, alice: User, ends: str) -> dict[str, str]:
    return {"person": alice.ref.id, "application": str(wiki.pk), "expires_at": ends}


def locking(alice: User, ends: str | int) -> dict[str, object]:
    return {"target": alice.ref.id, "message": "lost", "expires_at": ends}


@pytest.mark.parametrize("ends", NO_TIMES.values(), ids=NO_TIMES.keys())
def test_a_grant_ends_at_no_impossible_time(
    ends: str, wiki: Application, alice: User, dave: User, sign_in: SignIn
) -> None:
    """Attack C12, the form of grants."""
    answer = sign_in(dave).post("/manage/grants/add/", granting(wiki, alice, ends))
    page = answer.content.decode()
    field = re.search(r'<input[^>]*name="expires_at"[^>]*>', page)
    assert field, page
    assert "is-invalid" in field[0] or 'class="alert alert-danger"' in page
    assert Grant.objects.count() == 0


@pytest.mark.parametrize("ahead", UNREASONABLE.values(), ids=UNREASONABLE.keys())
def test_a_grant_ends_within_ten_years(
    ahead: timedelta,
    wiki: Application,
    alice: User,
    dave: User,
    clock: datetime,
    sign_in: SignIn,
) -> None:
    """Attack C12, the form of grants."""
    ends = f"{clock + ahead:%Y-%m-%dT%H:%M:%S}"
    page = sign_in(dave).post("/manage/grants/add/", granting(wiki, alice, ends))
    assert Grant.objects.count() == 0
    told = page.content.decode()
    assert ("is past" if ahead < timedelta(0) else "ten years at most") in told


@pytest.mark.parametrize("ends", NO_TIMES.values(), ids=NO_TIMES.keys())
def test_a_lock_ends_at_no_impossible_time(
    ends: str, alice: User, dave: User, sign_in: SignIn
) -> None:
    """Attack C12, the form and the API of locks."""
    browser = sign_in(dave)
    form = {"message": "lost", "expires_at": ends}
    url = f"/manage/locks/add/user/{alice.pk}/"
    assert "Ends at (UTC)" in browser.post(url, form).content.decode()
    answer = post(browser, "/api/v1/locks/", locking(alice, ends))
    assert (answer.status_code, Lock.objects.count()) == (400, 0)


@pytest.mark.parametrize("ends", [2**63, -(2**63), 10**400, 1.5, True, [], {}])
def test_the_api_takes_dates_as_text(
    ends: int, alice: User, dave: User, sign_in: SignIn
) -> None:
    """Attack C12, numbers where a date belongs."""
    answer = post(sign_in(dave), "/api/v1/locks/", locking(alice, ends))
    assert (answer.status_code, Lock.objects.count()) == (400, 0)


@pytest.mark.parametrize("ahead", UNREASONABLE.values(), ids=UNREASONABLE.keys())
def test_a_lock_ends_within_ten_years(
    ahead: timedelta, alice: User, dave: User, clock: datetime, sign_in: SignIn
) -> None:
    """Attack C12, the API of locks."""
    ends = f"{clock + ahead:%Y-%m-%dT%H:%M:%SZ}"
    answer = post(sign_in(dave), "/api/v1/locks/", locking(alice, ends))
    assert (answer.status_code, Lock.objects.count()) == (400, 0)
    words = "is past" if ahead < timedelta(0) else "ten years at most"
    assert words in answer.json()["detail"]


def test_an_offset_of_summer_time_is_that_moment(
    alice: User, dave: User, sign_in: SignIn
) -> None:
    """Attack C12: half past two in Berlin, an hour that the wall clock skips."""
    moment = "2028-03-26T02:30:00+01:00"
    answer = post(sign_in(dave), "/api/v1/locks/", locking(alice, moment))
    assert answer.status_code == 201
    assert Lock.objects.get().expires_at == datetime(2028, 3, 26, 1, 30, tzinfo=UTC)


QUESTIONS: Final = (
    "/manage/explain/?person={alice}&destination=10.1.0.7&port=443&at={at}",
    "/api/v1/explain/?user={alice}&destination=10.1.0.7&port=443&at={at}",
    "/manage/reach/applications/?application={wiki}&at={at}",
    "/manage/reach/people/?person={alice}&at={at}",
    "/manage/reach/changes/?since={at}",
    "/manage/reach/changes/?since=2026-01-01&until={at}",
    "/api/v1/reach/applications/{wiki}/?at={at}",
    "/api/v1/reach/people/{user}/?at={at}",
    "/api/v1/reach/changes/?since={at}",
    "/audit/connections/?from={at}",
    "/audit/connections/?until={at}",
    "/audit/events/?from={at}",
    "/api/v1/connections/?until={at}",
)


@pytest.fixture
def reader(carol: User, sign_in: SignIn) -> Client:
    """Return carol's browser."""
    return sign_in(carol)


@pytest.mark.parametrize("at", NO_TIMES.values(), ids=NO_TIMES.keys())
@pytest.mark.parametrize("url", QUESTIONS)
def test_no_question_is_about_an_impossible_time(
    url: str, at: str, wiki: Application, alice: User, reader: Client
) -> None:
    """Attack C12, whatever asks about a moment."""
    text = urlencode({"at": at}).removeprefix("at=")
    asked = url.format(alice=alice.ref.id, user=alice.pk, wiki=wiki.pk, at=text)
    assert reader.get(asked).status_code == 400


@pytest.mark.parametrize("at", NO_TIMES.values(), ids=NO_TIMES.keys())
def test_the_command_asks_about_no_impossible_time(at: str, alice: User) -> None:
    """Attack C12, `manage.py explain`."""
    with pytest.raises(CommandError, match="at: "):
        call_command(
            "explain", alice.ref.id, "10.1.0.7", port="443", at=at, stdout=StringIO()
        )
