"""Access requests over the API: the same rules as on the pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from policies.models import AccessRequest, Application, Grant
from portal.accounts.models import User
from tests.conftest import MakeUser, SignIn
from tests.peers.api.calls import post
from tests.peers.api.conftest import Bearer, bearer
from tests.policies.requests import DAY, HOUR, approve, ask, open_for_requests, refuse

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

__all__ = ["bearer"]
pytestmark = pytest.mark.django_db
REQUESTS = "/api/v1/requests/"


@pytest.fixture
def clock() -> datetime:
    """Return the time: the API is asked now, whatever the cast's clock says."""
    return datetime.now(UTC)  # noqa: TID251 -- a test's edge


@pytest.fixture
def vault(wiki: Application, bob: User) -> Application:
    """Bob answers for an application that people may ask for."""
    return open_for_requests(wiki, owner=bob)


@pytest.fixture
def asked(vault: Application, alice: User, clock: datetime) -> AccessRequest:
    """Alice waits for it."""
    return ask(vault, alice, now=clock - HOUR)


@pytest.fixture
def cast(
    alice: User, bob: User, carol: User, dave: User, mallory: User
) -> dict[str, User]:
    """Everybody by name."""
    return {user.subject: user for user in (alice, bob, carol, dave, mallory)}


def asking(application: Application, **changed: object) -> dict[str, Any]:
    return {
        "application": application.pk,
        "reason": "on call",
        "duration_seconds": 7200,
        **changed,
    }


def assert_problem(answer: Answer, status: int, words: str = "") -> None:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert words in answer.json()["detail"]


def test_a_person_finds_out_what_may_be_asked_for_and_asks(
    vault: Application, alice: User, sign_in: SignIn
) -> None:
    browser = sign_in(alice)
    (offered,) = browser.get(f"{REQUESTS}applications/").json()["applications"]
    assert (offered["id"], offered["name"]) == (vault.pk, "wiki")
    answer = post(browser, REQUESTS, asking(vault))
    told = answer.json()
    assert (answer.status_code, told["state"], told["grant"]) == (201, "pending", None)
    assert told["duration_seconds"] == 7200
    assert browser.get(f"{REQUESTS}{told['id']}/").json() == told
    assert answer["Cache-Control"] == "no-store"


REFUSED: dict[str, tuple[object, str]] = {
    "zero": (0, "at least 5 minutes"),
    "negative": (-3600, "at least 5 minutes"),
    "a second too long": (30 * 86400 + 1, "at most 30 days"),
    "ten years": (315_360_000, "at most 30 days"),
    "2^63": (2**63, "at most 30 days"),
    "beyond any time": (10**400, "at most 30 days"),
    "below any time": (-(2**63), "at least 5 minutes"),
    "a fraction": (7200.5, "whole number"),
    "a text": ("7200", "whole number"),
    "true": (True, "whole number"),
    "nothing": (None, "may not be null"),
}


@pytest.mark.parametrize(("seconds", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_time_out_of_bounds_is_refused(
    seconds: object, says: str, vault: Application, alice: User, sign_in: SignIn
) -> None:
    """Attack C12: past, ten years, 2^63 and beyond."""
    body = asking(vault, duration_seconds=seconds)
    assert_problem(post(sign_in(alice), REQUESTS, body), 400, says)
    assert not AccessRequest.objects.exists()


@pytest.mark.parametrize("name", ["until", "expires_at", "requester", "state"])
def test_a_date_or_anything_else_cannot_be_asked_for(
    name: str, vault: Application, alice: User, sign_in: SignIn
) -> None:
    body = asking(vault, **{name: "2020-01-01T00:00:00Z"})
    assert_problem(post(sign_in(alice), REQUESTS, body), 400, "unknown field")


@pytest.mark.parametrize("application", [0, -1, 2**70])
def test_what_is_not_given_on_request_does_not_exist(
    application: int, vault: Application, alice: User, sign_in: SignIn
) -> None:
    body = {**asking(vault), "application": application}
    assert_problem(post(sign_in(alice), REQUESTS, body), 404)
    open_for_requests(vault, is_requestable=False)
    assert_problem(post(sign_in(alice), REQUESTS, asking(vault)), 404)


def test_a_second_request_is_a_conflict(
    asked: AccessRequest, vault: Application, alice: User, sign_in: SignIn
) -> None:
    assert_problem(post(sign_in(alice), REQUESTS, asking(vault)), 409, "waiting")


STATUS: dict[str, dict[str, int]] = {
    "": {"alice": 200, "bob": 200, "carol": 200, "dave": 200, "mallory": 404},
    "cancel/": {"alice": 200, "bob": 403, "carol": 403, "dave": 403, "mallory": 404},
    "approve/": {"alice": 403, "bob": 200, "carol": 403, "dave": 200, "mallory": 404},
    "refuse/": {"alice": 403, "bob": 200, "carol": 403, "dave": 200, "mallory": 404},
    "end/": {"alice": 409, "bob": 409, "carol": 403, "dave": 409, "mallory": 404},
}


@pytest.mark.parametrize("act", STATUS)
@pytest.mark.parametrize("who", STATUS[""])
def test_everybody_may_do_what_is_theirs(
    act: str, who: str, asked: AccessRequest, cast: dict[str, User], sign_in: SignIn
) -> None:
    browser, url = sign_in(cast[who]), f"{REQUESTS}{asked.pk}/{act}"
    body = {"note": "no"} if act == "refuse/" else {}
    answer = post(browser, url, body) if act else browser.get(url)
    assert answer.status_code == STATUS[act][who]


@pytest.mark.parametrize("act", ["", "1/", "1/approve/", "applications/"])
@pytest.mark.parametrize("way", ["nobody", "token"])
def test_strangers_and_tokens_are_kept_out(
    act: str, way: str, alice: User, bearer: Bearer
) -> None:
    client = Client() if way == "nobody" else bearer(alice)
    url = f"{REQUESTS}{act}"
    answer = post(client, url) if "approve" in act else client.get(url)
    assert answer.status_code == (401 if way == "nobody" else 403)


def test_an_approval_tells_until_when_and_wants_a_recent_proof(
    asked: AccessRequest, bob: User, sign_in: SignIn
) -> None:
    url = f"{REQUESTS}{asked.pk}/approve/"
    stale = post(sign_in(bob, age=timedelta(hours=2)), url)
    assert_problem(stale, 403, "/accounts/confirm/")
    told = post(sign_in(bob), url, {"note": "until Friday"}).json()
    grant = Grant.objects.get()
    assert (told["state"], told["grant"]) == ("approved", grant.ref.id)
    assert datetime.fromisoformat(told["expires_at"]) == grant.expires_at
    assert told["reviews"][0]["note"] == "until Friday"


def test_a_second_answer_is_a_conflict(
    asked: AccessRequest, bob: User, dave: User, clock: datetime, sign_in: SignIn
) -> None:
    refuse(asked, bob, now=clock)
    answer = post(sign_in(dave), f"{REQUESTS}{asked.pk}/approve/")
    assert_problem(answer, 409, "is refused already")


def test_a_refusal_without_a_word_is_refused(
    asked: AccessRequest, bob: User, sign_in: SignIn
) -> None:
    answer = post(sign_in(bob), f"{REQUESTS}{asked.pk}/refuse/")
    assert_problem(answer, 400, "say why")


def test_access_is_ended_early(
    asked: AccessRequest, bob: User, clock: datetime, sign_in: SignIn
) -> None:
    approve(asked, bob, now=clock)
    told = post(sign_in(bob), f"{REQUESTS}{asked.pk}/end/").json()
    assert told["state"] == "approved"
    assert told["ended_at"] is not None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [2, 1]),
        ("?state=pending", [2]),
        ("?state=refused", [1]),
        ("?before={second}", [1]),
        (f"?before={10**18 * 9}", [2, 1]),
    ],
)
def test_the_list_is_filtered_and_paged_by_id(
    query: str,
    found: list[int],
    vault: Application,
    alice: User,
    bob: User,
    clock: datetime,
    sign_in: SignIn,
) -> None:
    first = refuse(ask(vault, alice, now=clock), bob, now=clock)
    second = ask(vault, alice, now=clock)
    places = {first.pk: 1, second.pk: 2}
    url = REQUESTS + query.format(second=second.pk)
    rows = sign_in(alice).get(url).json()["requests"]
    assert [places[row["id"]] for row in rows] == found


@pytest.mark.parametrize(
    "query", ["?state=any", "?before=x", "?before=²", "?before=-1"]
)
def test_a_wrong_question_is_refused(query: str, alice: User, sign_in: SignIn) -> None:
    assert_problem(sign_in(alice).get(REQUESTS + query), 400)


def test_the_list_costs_the_same_for_many(
    vault: Application,
    bob: User,
    carol: User,
    make_user: MakeUser,
    clock: datetime,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(4):
        made = ask(vault, make_user(f"p{number}"), now=clock, duration=DAY)
        refuse(made, bob, now=clock)
    browser = sign_in(carol)
    # Session, person, requests, reviews, reviewers.
    with django_assert_num_queries(5):
        assert len(browser.get(REQUESTS).json()["requests"]) == 4
